/*
 * Runs every instruction of F and D on corner values and random ones, under every rounding mode, static and dynamic, and prints for each a
 * hash of results and exception flags. The same binary under another emulator prints the same text. With an instruction's name as
 * argument it prints every case.
 */
#define SEED 0x9e3779b97f4a7c15ull
#include "check.h"

static const u64 cornersD[] = {0, 0x8000000000000000, 1, 0x8000000000000001, 0x000fffffffffffff, 0x0010000000000000, 0x0010000000000001,
  0x3ff0000000000000, 0xbff0000000000000, 0x3fe0000000000000, 0x3fdfffffffffffff, 0x4000000000000000, 0x7fefffffffffffff, 0xffefffffffffffff,
  0x7ff0000000000000, 0xfff0000000000000, 0x7ff8000000000000, 0x7ff0000000000001, 0xfff8000000000123, 0x41dfffffffc00000, 0x41e0000000000000,
  0xc1e0000000000000, 0xc1e0000000200000, 0x41efffffffe00000, 0x43e0000000000000, 0xc3e0000000000000, 0x43efffffffffffff, 0x43f0000000000000,
  0x3ca0000000000000, 0x3c90000000000001, 0x36a0000000000000, 0x380fffffffffffff, 0x47efffffefffffff, 0x47effffff0000000};
static const u32 cornersS[] = {0, 0x80000000, 1, 0x80000001, 0x007fffff, 0x00800000, 0x00800001, 0x3f800000, 0xbf800000, 0x3f000000, 0x3effffff,
  0x40000000, 0x7f7fffff, 0xff7fffff, 0x7f800000, 0xff800000, 0x7fc00000, 0x7f800001, 0xffc00123, 0x4effffff, 0x4f000000, 0xcf000000,
  0xcf000001, 0x4f7fffff, 0x4f800000, 0x5f000000, 0xdf000000, 0x5f7fffff, 0x33800000, 0x33000001};
#define ND (sizeof cornersD / sizeof *cornersD)
#define NS (sizeof cornersS / sizeof *cornersS)

/* A random number whose exponent is near that of others, so that sums cancel and products reach the ends of the range. */
static u64 randomD(void) {
  u64 r = next();
  static const u64 bands[] = {0x3ff, 0x3ff, 0x3f0, 0x001, 0x7fe, 0x200, 0x5ff, 0x3d0};
  u64 exponent = bands[r & 7] + ((r >> 3) & 15);
  u64 fraction = next() >> 12;
  if ((r >> 8) & 1) fraction &= ~0ull << ((r >> 9) & 63);
  return ((r >> 63) << 63) | ((exponent & 0x7ff) << 52) | fraction;
}

static u32 randomS(void) {
  u64 r = next();
  static const u32 bands[] = {0x7f, 0x7f, 0x70, 0x01, 0xfe, 0x40, 0xbf, 0x68};
  u32 exponent = bands[r & 7] + ((r >> 3) & 7);
  u32 fraction = (u32)next() >> 9;
  if ((r >> 8) & 1) fraction &= ~0u << ((r >> 9) & 31);
  return ((u32)(r >> 63) << 31) | ((exponent & 0xff) << 23) | fraction;
}

static u64 pickD(unsigned i) { return i < ND ? cornersD[i] : randomD(); }
static u32 pickS(unsigned i) { return i < NS ? cornersS[i] : randomS(); }

static void note(int rm, u64 a, u64 b, u64 c, u64 r, u64 flags) {
  mix(r);
  hash ^= hash >> 29;
  mix(flags);
  if (verbose) printf("rm %d  %016lx %016lx %016lx -> %016lx flags %02lx\n", rm, a, b, c, r, flags);
}

/* The registers are set and read as bits; before each operation the flags are `before`. */
#define RUN2(insn, rm) __asm__ volatile("fmv.d.x ft0, %2\n fmv.d.x ft1, %3\n csrw fflags, %4\n " insn " ft2, ft0, ft1" rm "\n csrr %1, fflags\n fmv.x.d %0, ft2" \
  : "=&r"(r), "=&r"(f) : "r"(a), "r"(b), "r"(before) : "ft0", "ft1", "ft2")
#define RUN1(insn, rm) __asm__ volatile("fmv.d.x ft0, %2\n csrw fflags, %3\n " insn " ft2, ft0" rm "\n csrr %1, fflags\n fmv.x.d %0, ft2" \
  : "=&r"(r), "=&r"(f) : "r"(a), "r"(before) : "ft0", "ft2")
#define RUN3(insn, rm) __asm__ volatile("fmv.d.x ft0, %2\n fmv.d.x ft1, %3\n fmv.d.x ft3, %4\n csrw fflags, %5\n " insn " ft2, ft0, ft1, ft3" rm \
  "\n csrr %1, fflags\n fmv.x.d %0, ft2" : "=&r"(r), "=&r"(f) : "r"(a), "r"(b), "r"(c), "r"(before) : "ft0", "ft1", "ft2", "ft3")
#define ALL_RM(RUN, insn, ...) \
  RUN(insn, ", rne"); note(0, __VA_ARGS__, r, f); RUN(insn, ", rtz"); note(1, __VA_ARGS__, r, f); RUN(insn, ", rdn"); note(2, __VA_ARGS__, r, f); \
  RUN(insn, ", rup"); note(3, __VA_ARGS__, r, f); RUN(insn, ", rmm"); note(4, __VA_ARGS__, r, f); \
  for (u64 m = 0; m < 5; m++) { __asm__ volatile("csrw frm, %0" : : "r"(m)); RUN(insn, ", dyn"); note(10 + m, __VA_ARGS__, r, f); }

static const u64 BOX = 0xffffffff00000000ull;

#define BIN(insn, N, PICK, BOXED) { begin(insn); for (unsigned i = 0; i < N + 6; i++) for (unsigned j = 0; j < N + 6; j++) { \
  u64 a = (u64)PICK(i) | BOXED, b = (u64)PICK(j) | BOXED, r, f, before = (i ^ j) & 1; ALL_RM(RUN2, insn, a, b, 0) } \
  for (int i = 0; i < 400; i++) { u64 a = (u64)PICK(99) | BOXED, b = (u64)PICK(99) | BOXED, r, f, before = i & 1; ALL_RM(RUN2, insn, a, b, 0) } end(insn); }
#define UN(insn, N, PICK, BOXED) { begin(insn); for (unsigned i = 0; i < N + 300; i++) { u64 a = (u64)PICK(i) | BOXED, r, f, before = i & 1; \
  ALL_RM(RUN1, insn, a, 0, 0) } end(insn); }
#define FMA(insn, N, PICK, BOXED) { begin(insn); for (unsigned i = 0; i < N; i++) for (unsigned j = 0; j < N; j += 3) for (unsigned k = j & 1; k < N; k += 2) { \
  u64 a = (u64)PICK(i) | BOXED, b = (u64)PICK(j) | BOXED, c = (u64)PICK(k) | BOXED, r, f, before = i & 1; RUN3(insn, ", rne"); note(0, a, b, c, r, f); \
  RUN3(insn, ", rdn"); note(2, a, b, c, r, f); } \
  for (int i = 0; i < 1500; i++) { u64 a = (u64)PICK(99) | BOXED, b = (u64)PICK(99) | BOXED, c = (u64)PICK(99) | BOXED, r, f, before = i & 1; \
  ALL_RM(RUN3, insn, a, b, c) } end(insn); }
/* No rounding mode. */
#define PLAIN2(insn, N, PICK, BOXED) { begin(insn); for (unsigned i = 0; i < N + 6; i++) for (unsigned j = 0; j < N + 6; j++) { \
  u64 a = (u64)PICK(i) | BOXED, b = (u64)PICK(j) | BOXED, r, f, before = 0; RUN2(insn, ""); note(0, a, b, 0, r, f); } end(insn); }
#define CMP(insn, N, PICK, BOXED) { begin(insn); for (unsigned i = 0; i < N + 6; i++) for (unsigned j = 0; j < N + 6; j++) { \
  u64 a = (u64)PICK(i) | BOXED, b = (u64)PICK(j) | BOXED, r, f; \
  __asm__ volatile("fmv.d.x ft0, %2\n fmv.d.x ft1, %3\n csrw fflags, x0\n " insn " %0, ft0, ft1\n csrr %1, fflags" : "=&r"(r), "=&r"(f) : "r"(a), "r"(b) : "ft0", "ft1"); \
  note(0, a, b, 0, r, f); } end(insn); }
#define RUNX(insn, rm) __asm__ volatile("fmv.d.x ft0, %2\n csrw fflags, %3\n " insn " %0, ft0" rm "\n csrr %1, fflags" : "=&r"(r), "=&r"(f) : "r"(a), "r"(before) : "ft0")
#define TOINT(insn, N, PICK, BOXED) { begin(insn); for (unsigned i = 0; i < N + 400; i++) { u64 a = (u64)PICK(i) | BOXED, r, f, before = 0; \
  ALL_RM(RUNX, insn, a, 0, 0) } end(insn); }
#define RUNF(insn, rm) __asm__ volatile("csrw fflags, %3\n " insn " ft0, %2" rm "\n csrr %1, fflags\n fmv.x.d %0, ft0" : "=&r"(r), "=&r"(f) : "r"(a), "r"(before) : "ft0")
#define FROMINT(insn) { begin(insn); for (int i = 0; i < 400; i++) { u64 a = i < 64 ? 1ull << i : i < 128 ? ~0ull << (i - 64) : next() >> (i & 63), r, f, before = 0; \
  ALL_RM(RUNF, insn, a, 0, 0) } end(insn); }
#define EXACTINT(insn) { begin(insn); for (int i = 0; i < 400; i++) { u64 a = i < 64 ? 1ull << i : i < 128 ? ~0ull << (i - 64) : next() >> (i & 63), r, f, before = 0; \
  RUNF(insn, ""); note(0, a, 0, 0, r, f); } end(insn); }
#define PLAIN1(insn, N, PICK, BOXED) { begin(insn); for (unsigned i = 0; i < N + 100; i++) { u64 a = (u64)PICK(i) | BOXED, r, f, before = 0; \
  RUN1(insn, ""); note(0, a, 0, 0, r, f); } end(insn); }
#define PLAINX(insn, N, PICK, BOXED) { begin(insn); for (unsigned i = 0; i < N + 100; i++) { u64 a = (u64)PICK(i) | BOXED, r, f, before = 0; \
  RUNX(insn, ""); note(0, a, 0, 0, r, f); } end(insn); }

static void doubles(void) {
  BIN("fadd.d", ND, pickD, 0) BIN("fsub.d", ND, pickD, 0) BIN("fmul.d", ND, pickD, 0) BIN("fdiv.d", ND, pickD, 0) UN("fsqrt.d", ND, pickD, 0)
  FMA("fmadd.d", ND, pickD, 0) FMA("fmsub.d", ND, pickD, 0) FMA("fnmsub.d", ND, pickD, 0) FMA("fnmadd.d", ND, pickD, 0)
  PLAIN2("fsgnj.d", ND, pickD, 0) PLAIN2("fsgnjn.d", ND, pickD, 0) PLAIN2("fsgnjx.d", ND, pickD, 0)
  PLAIN2("fmin.d", ND, pickD, 0) PLAIN2("fmax.d", ND, pickD, 0)
  CMP("feq.d", ND, pickD, 0) CMP("flt.d", ND, pickD, 0) CMP("fle.d", ND, pickD, 0)
  TOINT("fcvt.w.d", ND, pickD, 0) TOINT("fcvt.wu.d", ND, pickD, 0) TOINT("fcvt.l.d", ND, pickD, 0) TOINT("fcvt.lu.d", ND, pickD, 0)
  FROMINT("fcvt.d.l") FROMINT("fcvt.d.lu") EXACTINT("fcvt.d.w") EXACTINT("fcvt.d.wu")
  PLAIN1("fcvt.d.s", NS, pickS, BOX) PLAIN1("fcvt.d.s", ND, pickD, 0) UN("fcvt.s.d", ND, pickD, 0)
  PLAINX("fclass.d", ND, pickD, 0) PLAINX("fmv.x.d", ND, pickD, 0)
}

static void singles(void) {
  BIN("fadd.s", NS, pickS, BOX) BIN("fsub.s", NS, pickS, BOX) BIN("fmul.s", NS, pickS, BOX) BIN("fdiv.s", NS, pickS, BOX) UN("fsqrt.s", NS, pickS, BOX)
  FMA("fmadd.s", NS, pickS, BOX) FMA("fmsub.s", NS, pickS, BOX) FMA("fnmsub.s", NS, pickS, BOX) FMA("fnmadd.s", NS, pickS, BOX)
  PLAIN2("fsgnj.s", NS, pickS, BOX) PLAIN2("fsgnjn.s", NS, pickS, BOX) PLAIN2("fsgnjx.s", NS, pickS, BOX)
  PLAIN2("fmin.s", NS, pickS, BOX) PLAIN2("fmax.s", NS, pickS, BOX)
  CMP("feq.s", NS, pickS, BOX) CMP("flt.s", NS, pickS, BOX) CMP("fle.s", NS, pickS, BOX)
  TOINT("fcvt.w.s", NS, pickS, BOX) TOINT("fcvt.wu.s", NS, pickS, BOX) TOINT("fcvt.l.s", NS, pickS, BOX) TOINT("fcvt.lu.s", NS, pickS, BOX)
  FROMINT("fcvt.s.l") FROMINT("fcvt.s.lu") FROMINT("fcvt.s.w") FROMINT("fcvt.s.wu")
  PLAINX("fclass.s", NS, pickS, BOX) PLAINX("fmv.x.w", NS, pickS, BOX)
}

/* A single in a register that is not boxed is a NaN. */
static void boxing(void) {
  BIN("fadd.s", NS, pickS, 0) CMP("feq.s", NS, pickS, 0) PLAINX("fclass.s", NS, pickS, 0) PLAINX("fmv.x.w", NS, pickS, 0)
  PLAIN2("fsgnj.s", NS, pickS, 0) PLAIN2("fmin.s", NS, pickS, 0)
  begin("accesses");
  u64 memory[4] = {0x0123456789abcdef, 0xfedcba9876543210, 0, 0}, r, s;
  __asm__ volatile("flw ft0, 4(%2)\n fmv.x.d %0, ft0\n fld ft1, 8(%2)\n fmv.x.d %1, ft1\n fsw ft1, 16(%2)\n fsd ft1, 24(%2)\n fmv.w.x ft0, %1"
                   : "=&r"(r), "=&r"(s) : "r"(memory) : "memory", "ft0", "ft1");
  note(0, 0, 0, memory[2], r, 0);
  note(0, 0, 0, memory[3], s, 0);
  end("accesses");
}

int main(int argc, char **argv) {
  wanted = argc > 1 ? argv[1] : 0;
  doubles();
  singles();
  boxing();
  return 0;
}
