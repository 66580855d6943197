/*
 * What the programs that check instructions share: operands from a seed, and a hash of results for each instruction. SEED is defined first.
 */
#include <stdint.h>
#include <stdio.h>
#include <string.h>

typedef uint64_t u64;
typedef uint32_t u32;

static u64 state = SEED;
static u64 hash;
/* The instruction of which every case is printed, 0: none. */
static const char *wanted;
static int verbose;

static u64 next(void) {
  state ^= state << 13;
  state ^= state >> 7;
  state ^= state << 17;
  return state;
}

static void mix(u64 value) { hash = (hash ^ value) * 0x100000001b3ull; }

static void begin(const char *name) {
  hash = 0xcbf29ce484222325ull;
  verbose = wanted && strcmp(wanted, name) == 0;
}

static void end(const char *name) { printf("%-12s %016lx\n", name, hash); }
