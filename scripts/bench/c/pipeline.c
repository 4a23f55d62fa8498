// The same work as the segment engine, in C: read a file in segments; AES-256-GCM (OpenSSL), ChaCha20 rows (OpenSSL), the
// matrix (ISA-L), one GMAC a block (OpenSSL); and back. What comes out goes nowhere: it lies in a ring of buffers that is
// written over and over.
// A line "split K N T FILE" or "combine K N T FILE" on standard input; GB of plaintext per second of processor time on standard output.
#include "matrix.h"
#include <fcntl.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <stdint.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

enum { SEGMENT = 262144, OVERHEAD = 32, PLAIN = SEGMENT - OVERHEAD, TAG = 16, RING = 4 };

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
  return t.tv_sec + t.tv_nsec / 1e9;
}

static void must(int ok) {
  if (ok <= 0) {
    fprintf(stderr, "OpenSSL refused\n");
    exit(1);
  }
}

static void be64(unsigned char *at, uint64_t value) {
  for (int i = 7; i >= 0; i--, value >>= 8) at[i] = (unsigned char)value;
}

typedef struct {
  scheme m;
  int row_bytes;
  unsigned char tables[32 * 16 * 32];
  EVP_CIPHER_CTX *gcm, *chacha, *gmac[32];
  unsigned char chacha_key[32];
} engine;

static void gmac(engine *e, int index, uint64_t segment, const unsigned char *block, unsigned char *tag) {
  unsigned char nonce[12] = {0};
  int count;
  be64(nonce + 4, segment);
  must(EVP_EncryptInit_ex(e->gmac[index], NULL, NULL, NULL, nonce));
  must(EVP_EncryptUpdate(e->gmac[index], NULL, &count, block, e->row_bytes));
  must(EVP_EncryptFinal_ex(e->gmac[index], tag, &count));
  must(EVP_CIPHER_CTX_ctrl(e->gmac[index], EVP_CTRL_AEAD_GET_TAG, TAG, tag));
}

static void segment_aad(unsigned char *aad, uint64_t segment) {
  be64(aad, segment);
  aad[8] = 0;
}

/** Seals, splits and tags; block i of the segment with its tag is at framed + i * (row_bytes + TAG). */
static void split(engine *e, uint64_t segment, const unsigned char *plain, unsigned char *rows, unsigned char *framed) {
  const scheme *m = &e->m;
  int row = e->row_bytes, count;
  unsigned char *sealed = rows + (size_t)m->t * row, aad[9], iv[16] = {0};
  memset(sealed, 0xff, 4);
  must(RAND_bytes(sealed + 4, 12));
  segment_aad(aad, segment);
  must(EVP_EncryptInit_ex(e->gcm, NULL, NULL, NULL, sealed + 4));
  must(EVP_EncryptUpdate(e->gcm, NULL, &count, aad, 9));
  must(EVP_EncryptUpdate(e->gcm, sealed + 16, &count, plain, PLAIN));
  must(EVP_EncryptFinal_ex(e->gcm, sealed + 16, &count));
  must(EVP_CIPHER_CTX_ctrl(e->gcm, EVP_CTRL_AEAD_GET_TAG, TAG, sealed + 16 + PLAIN));
  if (m->t > 0) {
    uint32_t block = (uint32_t)((segment % 8192) * m->t * row / 64);
    memcpy(iv, &block, 4);
    must(EVP_EncryptInit_ex(e->chacha, NULL, NULL, e->chacha_key, iv));
    memset(rows, 0, (size_t)m->t * row);
    must(EVP_EncryptUpdate(e->chacha, rows, &count, rows, m->t * row));
  }
  unsigned char *in[16], *out[32];
  for (int i = 0; i < m->k; i++) in[i] = rows + (size_t)i * row;
  for (int i = m->systematic; i < m->n; i++) out[i - m->systematic] = framed + (size_t)i * (row + TAG);
  if (m->n > m->systematic) ec_encode_data(row, m->k, m->n - m->systematic, e->tables, in, out);
  for (int i = 0; i < m->systematic; i++) memcpy(framed + (size_t)i * (row + TAG), in[i], row);
  for (int i = 0; i < m->n; i++) {
    unsigned char *block = framed + (size_t)i * (row + TAG);
    gmac(e, i, segment, block, block + row);
  }
}

/** Checks the tags of the last k shares, combines and opens them. */
static void combine(engine *e, uint64_t segment, unsigned char *framed, unsigned char *rows, unsigned char *plain) {
  const scheme *m = &e->m;
  int row = e->row_bytes, count;
  unsigned char *in[16], *out[16], tag[TAG], aad[9];
  for (int i = 0; i < m->k; i++) {
    int index = m->n - m->k + i;
    in[i] = framed + (size_t)index * (row + TAG);
    gmac(e, index, segment, in[i], tag);
    if (memcmp(tag, in[i] + row, TAG) != 0) must(0);
  }
  for (int i = 0; i < m->data_rows; i++) out[i] = rows + (size_t)i * row;
  ec_encode_data(row, m->k, m->data_rows, e->tables, in, out);
  segment_aad(aad, segment);
  must(EVP_DecryptInit_ex(e->gcm, NULL, NULL, NULL, rows + 4));
  must(EVP_DecryptUpdate(e->gcm, NULL, &count, aad, 9));
  must(EVP_DecryptUpdate(e->gcm, plain, &count, rows + 16, PLAIN));
  must(EVP_CIPHER_CTX_ctrl(e->gcm, EVP_CTRL_AEAD_SET_TAG, TAG, rows + 16 + PLAIN));
  must(EVP_DecryptFinal_ex(e->gcm, plain, &count));
}

int main(void) {
  setvbuf(stdout, NULL, _IOLBF, 0);
  char mode[16], path[4096];
  int k, n, t;
  while (scanf("%15s %d %d %d %4095s", mode, &k, &n, &t, path) == 5) {
    engine e;
    unsigned char key[32] = {1}, fragment_key[32] = {2};
    int splitting = strcmp(mode, "split") == 0;
    make_scheme(&e.m, k, n, t);
    e.row_bytes = 128 * ((SEGMENT + 128 * e.m.data_rows - 1) / (128 * e.m.data_rows));
    e.gcm = EVP_CIPHER_CTX_new();
    e.chacha = EVP_CIPHER_CTX_new();
    must(RAND_bytes(e.chacha_key, 32));
    must(EVP_EncryptInit_ex(e.gcm, EVP_aes_256_gcm(), NULL, key, NULL));
    must(EVP_EncryptInit_ex(e.chacha, EVP_chacha20(), NULL, NULL, NULL));
    for (int i = 0; i < n; i++) {
      fragment_key[1] = (unsigned char)i;
      e.gmac[i] = EVP_CIPHER_CTX_new();
      must(EVP_EncryptInit_ex(e.gmac[i], EVP_aes_256_gcm(), NULL, fragment_key, NULL));
    }
    size_t framed_bytes = (size_t)n * (e.row_bytes + TAG);
    unsigned char *rows = memory((size_t)k * e.row_bytes + SEGMENT), *plain = memory(PLAIN), *opened = memory(PLAIN);
    unsigned char *ring = memory(RING * framed_bytes);
    split_tables(&e.m, e.tables);
    int file = open(path, O_RDONLY);
    if (file < 0) must(0);
    double bytes = 0, began;
    if (splitting) {
      began = now();
      for (uint64_t segment = 0; read(file, plain, PLAIN) == PLAIN; segment++, bytes += PLAIN)
        split(&e, segment, plain, rows, ring + (segment % RING) * framed_bytes);
    } else {
      // the same few segments again and again, each opened under its own number
      for (uint64_t segment = 0; segment < RING && read(file, plain, PLAIN) == PLAIN; segment++)
        split(&e, segment, plain, rows, ring + segment * framed_bytes);
      combine_tables(&e.m, e.tables);
      must(EVP_DecryptInit_ex(e.gcm, EVP_aes_256_gcm(), NULL, key, NULL));
      off_t size = lseek(file, 0, SEEK_END);
      began = now();
      for (uint64_t i = 0; bytes + PLAIN <= size; i++, bytes += PLAIN)
        combine(&e, i % RING, ring + (i % RING) * framed_bytes, rows, opened);
      if (memcmp(opened, plain, 0) != 0) must(0);
    }
    printf("%.4f\n", bytes / (now() - began) / 1e9);
    close(file);
    EVP_CIPHER_CTX_free(e.gcm);
    EVP_CIPHER_CTX_free(e.chacha);
    for (int i = 0; i < n; i++) EVP_CIPHER_CTX_free(e.gmac[i]);
    free(rows), free(plain), free(opened), free(ring);
  }
  return 0;
}
