/*
 * will-it-scale's page_fault3: map a shared file, store to every page of it, unmap; so many times as the first argument says.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define MEMSIZE (128ul * 4096)

int main(int argc, char **argv) {
  int passes = argc > 1 ? atoi(argv[1]) : 1;
  const char *path = argc > 2 ? argv[2] : "/tmp/page_fault3";
  int fd = open(path, O_CREAT | O_RDWR, 0600);
  if (fd < 0 || ftruncate(fd, MEMSIZE) != 0) return 1;
  unlink(path);
  for (int pass = 0; pass < passes; pass++) {
    char *at = mmap(0, MEMSIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (at == MAP_FAILED) return 2;
    for (unsigned long i = 0; i < MEMSIZE; i += 4096) at[i] = 0;
    munmap(at, MEMSIZE);
  }
  return 0;
}
