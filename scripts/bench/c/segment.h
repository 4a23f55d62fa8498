// The work that the segment engine does on one segment, in C: AES-256-GCM (OpenSSL), ChaCha20 rows (OpenSSL), the
// matrix (ISA-L), one GMAC a block (OpenSSL); and back.
#ifndef SEGMENT_H
#define SEGMENT_H
#include "matrix.h"
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <stdint.h>
#include <stdio.h>

enum { SEGMENT = 262144, OVERHEAD = 32, PLAIN = SEGMENT - OVERHEAD, TAG = 16 };

static inline void must(int ok) {
  if (ok <= 0) {
    fprintf(stderr, "OpenSSL or the file system refused\n");
    exit(1);
  }
}

static inline void be64(unsigned char *at, uint64_t value) {
  for (int i = 7; i >= 0; i--, value >>= 8) at[i] = (unsigned char)value;
}

typedef struct {
  scheme m;
  int row_bytes;
  unsigned char tables[32 * 16 * 32];
  EVP_CIPHER_CTX *gcm, *chacha, *gmac[32];
  unsigned char chacha_key[32];
} engine;

static inline void gmac(engine *e, int index, uint64_t segment, const unsigned char *block, unsigned char *tag) {
  unsigned char nonce[12] = {0};
  int count;
  be64(nonce + 4, segment);
  must(EVP_EncryptInit_ex(e->gmac[index], NULL, NULL, NULL, nonce));
  must(EVP_EncryptUpdate(e->gmac[index], NULL, &count, block, e->row_bytes));
  must(EVP_EncryptFinal_ex(e->gmac[index], tag, &count));
  must(EVP_CIPHER_CTX_ctrl(e->gmac[index], EVP_CTRL_AEAD_GET_TAG, TAG, tag));
}

static inline void segment_aad(unsigned char *aad, uint64_t segment) {
  be64(aad, segment);
  aad[8] = 0;
}

/** Seals, splits and tags; block i of the segment with its tag is at framed + i * stride. */
static inline void split(engine *e, uint64_t segment, const unsigned char *plain, unsigned char *rows, unsigned char *framed,
                         size_t stride) {
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
  for (int i = m->systematic; i < m->n; i++) out[i - m->systematic] = framed + i * stride;
  if (m->n > m->systematic) ec_encode_data(row, m->k, m->n - m->systematic, e->tables, in, out);
  for (int i = 0; i < m->systematic; i++) memcpy(framed + i * stride, in[i], row);
  for (int i = 0; i < m->n; i++) {
    unsigned char *block = framed + i * stride;
    gmac(e, i, segment, block, block + row);
  }
}

/** Checks the tags of the last k shares, combines and opens them. */
static inline void combine(engine *e, uint64_t segment, unsigned char *framed, unsigned char *rows, unsigned char *plain) {
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

/** Keys, contexts and the tables for splitting. */
static inline void make_engine(engine *e, int k, int n, int t) {
  unsigned char key[32] = {1}, fragment_key[32] = {2};
  make_scheme(&e->m, k, n, t);
  e->row_bytes = 128 * ((SEGMENT + 128 * e->m.data_rows - 1) / (128 * e->m.data_rows));
  e->gcm = EVP_CIPHER_CTX_new();
  e->chacha = EVP_CIPHER_CTX_new();
  must(RAND_bytes(e->chacha_key, 32));
  must(EVP_EncryptInit_ex(e->gcm, EVP_aes_256_gcm(), NULL, key, NULL));
  must(EVP_EncryptInit_ex(e->chacha, EVP_chacha20(), NULL, NULL, NULL));
  for (int i = 0; i < n; i++) {
    fragment_key[1] = (unsigned char)i;
    e->gmac[i] = EVP_CIPHER_CTX_new();
    must(EVP_EncryptInit_ex(e->gmac[i], EVP_aes_256_gcm(), NULL, fragment_key, NULL));
  }
  split_tables(&e->m, e->tables);
}

/** From now on the engine combines and opens. */
static inline void turn_to_combining(engine *e) {
  unsigned char key[32] = {1};
  combine_tables(&e->m, e->tables);
  must(EVP_DecryptInit_ex(e->gcm, EVP_aes_256_gcm(), NULL, key, NULL));
}

static inline void free_engine(engine *e) {
  EVP_CIPHER_CTX_free(e->gcm);
  EVP_CIPHER_CTX_free(e->chacha);
  for (int i = 0; i < e->m.n; i++) EVP_CIPHER_CTX_free(e->gmac[i]);
}
#endif
