// The same work as the segment engine, in C: read a file in segments, seal, split and tag each; and back. What comes out
// goes nowhere: it lies in a ring of buffers that is written over and over.
// A line "split K N T FILE" or "combine K N T FILE" on standard input; GB of plaintext per second of processor time on standard output.
#include "segment.h"
#include <fcntl.h>
#include <time.h>
#include <unistd.h>

enum { RING = 4 };

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
  return t.tv_sec + t.tv_nsec / 1e9;
}

int main(void) {
  setvbuf(stdout, NULL, _IOLBF, 0);
  char mode[16], path[4096];
  int k, n, t;
  while (scanf("%15s %d %d %d %4095s", mode, &k, &n, &t, path) == 5) {
    engine e;
    make_engine(&e, k, n, t);
    size_t block = e.row_bytes + TAG, framed_bytes = n * block;
    unsigned char *rows = memory((size_t)k * e.row_bytes + SEGMENT), *plain = memory(PLAIN), *opened = memory(PLAIN);
    unsigned char *ring = memory(RING * framed_bytes);
    int file = open(path, O_RDONLY);
    if (file < 0) must(0);
    double bytes = 0, began;
    if (strcmp(mode, "split") == 0) {
      began = now();
      for (uint64_t segment = 0; read(file, plain, PLAIN) == PLAIN; segment++, bytes += PLAIN)
        split(&e, segment, plain, rows, ring + (segment % RING) * framed_bytes, block);
    } else {
      // the same few segments again and again, each opened under its own number
      for (uint64_t segment = 0; segment < RING && read(file, plain, PLAIN) == PLAIN; segment++)
        split(&e, segment, plain, rows, ring + segment * framed_bytes, block);
      turn_to_combining(&e);
      off_t size = lseek(file, 0, SEEK_END);
      began = now();
      for (uint64_t i = 0; bytes + PLAIN <= size; i++, bytes += PLAIN)
        combine(&e, i % RING, ring + (i % RING) * framed_bytes, rows, opened);
      double ended = now();
      combine(&e, RING - 1, ring + (RING - 1) * framed_bytes, rows, opened);
      must(memcmp(opened, plain, PLAIN) == 0);
      began += now() - ended;
    }
    printf("%.4f\n", bytes / (now() - began) / 1e9);
    close(file);
    free_engine(&e);
    free(rows), free(plain), free(opened), free(ring);
  }
  return 0;
}
