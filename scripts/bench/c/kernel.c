// ISA-L's ec_encode_data on the rows of one segment, over and over.
// A line "split K N T ROWBYTES MS" or "combine K N T ROWBYTES MS" on standard input; GB of plaintext per second of processor time on standard output.
#include "matrix.h"
#include <stdio.h>
#include <time.h>

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
  return t.tv_sec + t.tv_nsec / 1e9;
}

int main(void) {
  setvbuf(stdout, NULL, _IOLBF, 0);
  char mode[16];
  int k, n, t, row_bytes;
  double ms;
  while (scanf("%15s %d %d %d %d %lf", mode, &k, &n, &t, &row_bytes, &ms) == 6) {
    scheme m;
    unsigned char tables[32 * 16 * 32];
    make_scheme(&m, k, n, t);
    int split = strcmp(mode, "split") == 0;
    int outputs = split ? n - m.systematic : m.data_rows;
    if (split) split_tables(&m, tables);
    else combine_tables(&m, tables);
    // rows an odd multiple of 64 bytes apart, off the 4 KiB alias
    size_t stride = row_bytes + 33 * 64;
    unsigned char *area = memory((k + outputs) * stride), *in[16], *out[32];
    for (int i = 0; i < k; i++) in[i] = area + i * stride;
    for (int i = 0; i < outputs; i++) out[i] = area + (k + i) * stride;
    for (size_t i = 0; i < k * stride; i++) area[i] = (unsigned char)(i * 167 >> 3);
    for (int i = 0; i < 20; i++) ec_encode_data(row_bytes, k, outputs, tables, in, out);
    double bytes = 0, began = now(), end = began + ms / 1000;
    do {
      for (int i = 0; i < 10; i++) ec_encode_data(row_bytes, k, outputs, tables, in, out);
      bytes += 10.0 * row_bytes * m.data_rows;
    } while (now() < end);
    printf("%.4f\n", bytes / (now() - began) / 1e9);
    free(area);
  }
  return 0;
}
