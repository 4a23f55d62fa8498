// The matrix of docs/FORMAT.md §2 with ISA-L's arithmetic (polynomial 0x11d: same cost, other bytes).
#ifndef MATRIX_H
#define MATRIX_H
#include <isa-l.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
  int k, n, t;
  int data_rows;  // L = k - t
  int systematic; // s: shares that are input rows as they are
  unsigned char rows[32][16];
} scheme;

static inline void make_scheme(scheme *m, int k, int n, int t) {
  m->k = k, m->n = n, m->t = t, m->data_rows = k - t, m->systematic = t > 0 ? t : k;
  memset(m->rows, 0, sizeof m->rows);
  for (int i = 0; i < m->systematic; i++) m->rows[i][i] = 1;
  for (int i = m->systematic; i < n; i++)
    for (int j = 0; j < k; j++) m->rows[i][j] = gf_inv((unsigned char)((255 - i) ^ j));
  unsigned char first[16];
  memcpy(first, m->rows[m->systematic], 16);
  for (int i = m->systematic; i < n; i++)
    for (int j = 0; j < k; j++) m->rows[i][j] = gf_mul(m->rows[i][j], gf_inv(first[j]));
  for (int i = m->systematic; i < n; i++) {
    unsigned char scale = gf_inv(m->rows[i][0]);
    for (int j = 0; j < k; j++) m->rows[i][j] = gf_mul(m->rows[i][j], scale);
  }
}

/** Tables that compute shares s … n-1 from the k input rows. */
static inline void split_tables(const scheme *m, unsigned char *tables) {
  unsigned char flat[32 * 16];
  int count = m->n - m->systematic;
  for (int i = 0; i < count; i++) memcpy(flat + i * m->k, m->rows[m->systematic + i], m->k);
  ec_init_tables(m->k, count, flat, tables);
}

/** Tables that compute the L data rows from the last k shares: the subset with the least for nothing. */
static inline void combine_tables(const scheme *m, unsigned char *tables) {
  unsigned char square[16 * 16], inverse[16 * 16];
  for (int i = 0; i < m->k; i++) memcpy(square + i * m->k, m->rows[m->n - m->k + i], m->k);
  if (gf_invert_matrix(square, inverse, m->k) != 0) abort();
  ec_init_tables(m->k, m->data_rows, inverse + m->t * m->k, tables);
}

static inline void *memory(size_t bytes) {
  void *p = NULL;
  if (posix_memalign(&p, 4096, bytes) != 0) abort();
  memset(p, 0, bytes);
  return p;
}
#endif
