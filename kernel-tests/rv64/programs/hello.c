/*
 * A program of glibc's: arguments, environment, the heap, floating-point output, both output streams, an exit code.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int main(int argc, char **argv, char **envp) {
  for (int i = 1; i < argc; i++) printf("argument %d: %s\n", i, argv[i]);
  for (char **e = envp; *e; e++) printf("environment: %s\n", *e);
  long sum = 0;
  for (size_t size = 16; size < (4u << 20); size *= 4) {
    char *p = malloc(size);
    memset(p, (int)(size & 63) + 1, size);
    for (size_t i = 0; i < size; i++) sum += p[i];
    free(p);
  }
  double x = 0;
  for (int i = 1; i < 10000; i++) x += sin(i) / i;
  printf("sum %ld, %.17g, %a, %.3f\n", sum, x, sqrt(x), pow(2, 0.5));
  fprintf(stderr, "to standard error\n");
  char line[64];
  while (fgets(line, sizeof line, stdin)) printf("read: %s", line);
  return 40 + argc;
}
