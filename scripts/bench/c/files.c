// What storing to folders promises, in C and with no vault around it: the source read and its SHA-256 taken, every segment sealed,
// split and tagged, n fragments written, read back and their tags checked. No catalog, no manifest, no signatures; what is read
// back lies in the cache still. Two threads seal and write, a third takes the hash.
// A line "STEPS K N T FILE FOLDER" on standard input, STEPS of the letters s (seal, split and tag; without it the fragments are
// zeros), h (SHA-256) and v (read back, and check the tags if there are any); GB of plaintext per second of wall time on standard output.
#include "segment.h"
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <time.h>
#include <unistd.h>

enum { WORKERS = 2, RUN = 8, PIECE = 1 << 20 };

typedef struct job job;

typedef struct {
  job *job;
  engine engine;
  unsigned char *plain, *rows, *shares;
} worker;

struct job {
  int n, source, fragments[32], seals, verifies;
  atomic_ulong next_run, bytes;
  worker workers[WORKERS];
  unsigned char *piece;
};

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec + t.tv_nsec / 1e9;
}

static void *store_runs(void *argument) {
  worker *w = argument;
  job *j = w->job;
  engine *e = &w->engine;
  size_t block = e->row_bytes + TAG, stride = RUN * block;
  unsigned char tag[TAG];
  for (;;) {
    uint64_t run = atomic_fetch_add(&j->next_run, 1), first = run * RUN;
    ssize_t bytes = pread(j->source, w->plain, (size_t)RUN * PLAIN, (off_t)(first * PLAIN)), segments = bytes / PLAIN;
    must(bytes >= 0);
    if (segments == 0) return NULL;
    for (int s = 0; s < segments && j->seals; s++)
      split(e, first + s, w->plain + (size_t)s * PLAIN, w->rows, w->shares + s * block, stride);
    ssize_t run_bytes = segments * block;
    for (int i = 0; i < j->n; i++)
      must(pwrite(j->fragments[i], w->shares + i * stride, run_bytes, (off_t)(run * stride)) == run_bytes);
    for (int i = 0; i < j->n && j->verifies; i++) {
      unsigned char *share = w->shares + i * stride;
      must(pread(j->fragments[i], share, run_bytes, (off_t)(run * stride)) == run_bytes);
      for (int s = 0; s < segments && j->seals; s++) {
        gmac(e, i, first + s, share + s * block, tag);
        must(memcmp(tag, share + s * block + e->row_bytes, TAG) == 0);
      }
    }
    atomic_fetch_add(&j->bytes, (unsigned long)segments * PLAIN);
  }
}

static void *hash_source(void *argument) {
  job *j = argument;
  unsigned char digest[32];
  EVP_MD_CTX *hash = EVP_MD_CTX_new();
  must(EVP_DigestInit_ex(hash, EVP_sha256(), NULL));
  ssize_t bytes;
  for (off_t at = 0; (bytes = pread(j->source, j->piece, PIECE, at)) > 0; at += bytes)
    must(EVP_DigestUpdate(hash, j->piece, bytes));
  must(bytes == 0);
  must(EVP_DigestFinal_ex(hash, digest, NULL));
  EVP_MD_CTX_free(hash);
  return NULL;
}

/** Memory that a program which runs for long has already touched. */
static void prepare(job *j, int k, int n, int t) {
  j->n = n;
  j->piece = memory(PIECE);
  for (int i = 0; i < WORKERS; i++) {
    worker *w = &j->workers[i];
    w->job = j;
    make_engine(&w->engine, k, n, t);
    w->plain = memory((size_t)RUN * PLAIN);
    w->rows = memory((size_t)k * w->engine.row_bytes + SEGMENT);
    w->shares = memory((size_t)n * RUN * (w->engine.row_bytes + TAG));
  }
}

static void forget(job *j) {
  free(j->piece);
  for (int i = 0; i < WORKERS; i++) {
    worker *w = &j->workers[i];
    free_engine(&w->engine);
    free(w->plain), free(w->rows), free(w->shares);
  }
}

int main(void) {
  setvbuf(stdout, NULL, _IOLBF, 0);
  char steps[8], path[4096], folder[4000], name[4096];
  int k, n, t;
  while (scanf("%7s %d %d %d %4095s %3999s", steps, &k, &n, &t, path, folder) == 6) {
    job j = {.seals = strchr(steps, 's') != NULL, .verifies = strchr(steps, 'v') != NULL};
    int hashes = strchr(steps, 'h') != NULL;
    pthread_t threads[WORKERS], hasher;
    prepare(&j, k, n, t);
    double began = now();
    must((j.source = open(path, O_RDONLY)) >= 0);
    for (int i = 0; i < n; i++) {
      snprintf(name, sizeof name, "%s/%d", folder, i);
      must((j.fragments[i] = open(name, O_RDWR | O_CREAT | O_TRUNC, 0600)) >= 0);
    }
    for (int i = 0; i < WORKERS; i++) must(pthread_create(&threads[i], NULL, store_runs, &j.workers[i]) == 0);
    if (hashes) must(pthread_create(&hasher, NULL, hash_source, &j) == 0);
    for (int i = 0; i < WORKERS; i++) pthread_join(threads[i], NULL);
    if (hashes) pthread_join(hasher, NULL);
    for (int i = 0; i < n; i++) close(j.fragments[i]);
    close(j.source);
    printf("%.4f\n", j.bytes / (now() - began) / 1e9);
    for (int i = 0; i < n; i++) {
      snprintf(name, sizeof name, "%s/%d", folder, i);
      unlink(name);
    }
    forget(&j);
  }
  return 0;
}
