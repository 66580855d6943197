/*
 * Runs every integer, memory and atomic instruction of RV64IMAC with Zba and Zbb on random operands, and prints for each a hash of its
 * results. The same binary under another emulator prints the same text. With an instruction's name as argument it prints every case.
 */
#define SEED 88172645463325252ull
#include "check.h"
#include <sys/mman.h>

/* Corner values as often as random ones. */
static u64 operand(void) {
  static const u64 corners[] = {0, 1, 2, 63, 64, 31, 32, 0x7f, 0x80, 0xff, 0x7fff, 0x8000, 0x7fffffff, 0x80000000, 0xffffffff,
    0x100000000, 0x7fffffffffffffff, 0x8000000000000000, 0xffffffffffffffff, 0xfffffffffffffffe, 0xffffffff80000000};
  u64 r = next();
  if ((r & 3) == 0) return corners[(r >> 8) % (sizeof corners / sizeof *corners)];
  return next() >> ((r >> 2) & 3 ? 0 : (r >> 8) & 63);
}

static void note(u64 a, u64 b, u64 r) {
  mix(r);
  hash ^= hash >> 29;
  if (verbose) printf("%016lx %016lx -> %016lx\n", a, b, r);
}

#define RR(name) { begin(name); for (int i = 0; i < 300; i++) { u64 a = operand(), b = operand(), r; \
  __asm__ volatile(name " %0, %1, %2" : "=r"(r) : "r"(a), "r"(b)); note(a, b, r); } end(name); }
#define R1(name) { begin(name); for (int i = 0; i < 300; i++) { u64 a = operand(), r; \
  __asm__ volatile(name " %0, %1" : "=r"(r) : "r"(a)); note(a, 0, r); } end(name); }
#define RI(name, imm) for (int i = 0; i < 40; i++) { u64 a = operand(), r; \
  __asm__ volatile(name " %0, %1, " #imm : "=r"(r) : "r"(a)); note(a, (u64)(int64_t)(imm), r); }
#define IMM12(name) { begin(name); RI(name, 0) RI(name, 1) RI(name, -1) RI(name, 2047) RI(name, -2048) RI(name, 85) RI(name, -1366) end(name); }
#define SH6(name) { begin(name); RI(name, 0) RI(name, 1) RI(name, 31) RI(name, 32) RI(name, 63) RI(name, 17) end(name); }
#define SH5(name) { begin(name); RI(name, 0) RI(name, 1) RI(name, 31) RI(name, 16) RI(name, 7) end(name); }

static void integers(void) {
  RR("add") RR("sub") RR("sll") RR("slt") RR("sltu") RR("xor") RR("srl") RR("sra") RR("or") RR("and")
  RR("addw") RR("subw") RR("sllw") RR("srlw") RR("sraw")
  RR("mul") RR("mulh") RR("mulhsu") RR("mulhu") RR("div") RR("divu") RR("rem") RR("remu")
  RR("mulw") RR("divw") RR("divuw") RR("remw") RR("remuw")
  IMM12("addi") IMM12("slti") IMM12("sltiu") IMM12("xori") IMM12("ori") IMM12("andi") IMM12("addiw")
  SH6("slli") SH6("srli") SH6("srai") SH5("slliw") SH5("srliw") SH5("sraiw")
  RR("add.uw") RR("sh1add") RR("sh2add") RR("sh3add") RR("sh1add.uw") RR("sh2add.uw") RR("sh3add.uw") SH6("slli.uw")
  RR("andn") RR("orn") RR("xnor") R1("clz") R1("ctz") R1("cpop") R1("clzw") R1("cpopw")
  RR("max") RR("maxu") RR("min") RR("minu") R1("sext.b") R1("sext.h") R1("zext.h")
  RR("rol") RR("rolw") RR("ror") RR("rorw") SH6("rori") SH5("roriw") R1("orc.b") R1("rev8")
}

/* QEMU 7.2 answers 63 where the low word is 0 and the high one is not; the answer is 32. */
static void trailingZeros(void) {
  begin("ctzw");
  for (int i = 0; i < 300; i++) {
    u64 a = operand(), r;
    if ((uint32_t)a == 0) a &= 0xffffffff;
    __asm__ volatile("ctzw %0, %1" : "=r"(r) : "r"(a));
    note(a, 0, r);
  }
  end("ctzw");
}

#define UPPER(text, imm) { u64 r; __asm__ volatile(text " %0, " #imm : "=r"(r)); note(0, imm, r); }
static void upper(void) {
  begin("lui"); UPPER("lui", 0) UPPER("lui", 1) UPPER("lui", 0x7ffff) UPPER("lui", 0x80000) UPPER("lui", 0xfffff) end("lui");
  begin("auipc");
  u64 a, b;
  __asm__ volatile("1: auipc %0, 0\n auipc %1, 0x12345\n" : "=&r"(a), "=&r"(b));
  note(0, 0, b - a);
  end("auipc");
}

#define BR(name) { begin(name); for (int i = 0; i < 300; i++) { u64 a = operand(), b = i % 5 ? operand() : a, r; \
  __asm__ volatile("li %0, 1\n " name " %1, %2, 1f\n li %0, 0\n 1:" : "=&r"(r) : "r"(a), "r"(b)); note(a, b, r); } end(name); }
static void branches(void) { BR("beq") BR("bne") BR("blt") BR("bge") BR("bltu") BR("bgeu") }

/* x0 as the target of everything that could write it. */
static void zeroRegister(void) {
  begin("x0");
  u64 r = 0, word = 7;
  __asm__ volatile(
    "li x0, 5\n add x0, %1, %1\n lui x0, 9\n mul x0, %1, %1\n ld x0, 0(%2)\n amoadd.d x0, %1, (%2)\n csrr x0, fcsr\n mv %0, x0\n"
    : "=r"(r) : "r"(3ul), "r"(&word) : "memory");
  note(0, 0, r);
  note(0, 0, word);
  end("x0");
}

/* c.* names: two addresses and an immediate, on the eight registers that all of them can name. */
#define CRR(name) { begin(name); for (int i = 0; i < 200; i++) { u64 a = operand(), b = operand(); \
  register u64 x __asm__("a0") = a; register u64 y __asm__("a1") = b; \
  __asm__ volatile(name " %0, %1" : "+r"(x) : "r"(y)); note(a, b, x); } end(name); }
#define CRI(name, imm) for (int i = 0; i < 40; i++) { u64 a = operand(); register u64 x __asm__("a0") = a; \
  __asm__ volatile(name " %0, " #imm : "+r"(x)); note(a, (u64)(int64_t)(imm), x); }
static void compressed(void) {
  CRR("c.add") CRR("c.mv") CRR("c.sub") CRR("c.xor") CRR("c.or") CRR("c.and") CRR("c.addw") CRR("c.subw")
  begin("c.addi"); CRI("c.addi", 1) CRI("c.addi", -1) CRI("c.addi", 31) CRI("c.addi", -32) end("c.addi");
  begin("c.addiw"); CRI("c.addiw", 0) CRI("c.addiw", 31) CRI("c.addiw", -32) end("c.addiw");
  begin("c.li"); CRI("c.li", 0) CRI("c.li", 31) CRI("c.li", -32) end("c.li");
  begin("c.lui"); CRI("c.lui", 1) CRI("c.lui", 31) CRI("c.lui", 0xfffe0) CRI("c.lui", 0xfffff) end("c.lui");
  begin("c.andi"); CRI("c.andi", 0) CRI("c.andi", 31) CRI("c.andi", -32) end("c.andi");
  begin("c.slli"); CRI("c.slli", 1) CRI("c.slli", 31) CRI("c.slli", 32) CRI("c.slli", 63) end("c.slli");
  begin("c.srli"); CRI("c.srli", 1) CRI("c.srli", 31) CRI("c.srli", 32) CRI("c.srli", 63) end("c.srli");
  begin("c.srai"); CRI("c.srai", 1) CRI("c.srai", 31) CRI("c.srai", 32) CRI("c.srai", 63) end("c.srai");
  begin("c.addi4spn");
  u64 r, s;
  __asm__ volatile("c.addi4spn a0, sp, 4\n c.addi4spn a1, sp, 1020\n sub %0, a1, a0\n sub %1, a0, sp" : "=r"(r), "=r"(s) : : "a0", "a1");
  note(0, 0, r);
  note(0, 0, s);
  end("c.addi4spn");
  begin("c.addi16sp");
  __asm__ volatile("mv a0, sp\n c.addi16sp sp, -512\n mv a1, sp\n c.addi16sp sp, 496\n c.addi16sp sp, 16\n sub %0, a0, a1\n sub %1, sp, a0"
                   : "=r"(r), "=r"(s) : : "a0", "a1");
  note(0, 0, r);
  note(0, 0, s);
  end("c.addi16sp");
  begin("c.branches");
  for (int i = 0; i < 100; i++) {
    register u64 x __asm__("a0") = i % 3 ? operand() : 0;
    register u64 y __asm__("a1");
    u64 a = x;
    __asm__ volatile("li %1, 0\n c.beqz %0, 1f\n addi %1, %1, 1\n 1: c.bnez %0, 2f\n addi %1, %1, 2\n c.j 3f\n 2: addi %1, %1, 4\n 3:"
                     : "+r"(x), "=&r"(y));
    note(a, 0, y);
  }
  end("c.branches");
}

static unsigned char *memory;

/* Every access at every distance from the line between two pages. */
#define LD(name) { begin(name); for (int off = 4080; off < 4104; off++) { u64 r; \
  __asm__ volatile(name " %0, 0(%1)" : "=r"(r) : "r"(memory + off) : "memory"); note(off, 0, r); } end(name); }
#define ST(name) { begin(name); for (int off = 4080; off < 4104; off++) { u64 v = next(); \
  __asm__ volatile(name " %0, 0(%1)" : : "r"(v), "r"(memory + off) : "memory"); \
  u64 sum = 0; for (int i = 4072; i < 4120; i++) sum = sum * 31 + memory[i]; note(off, v, sum); } end(name); }
static void accesses(void) {
  memory = mmap(0, 12288, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  for (int i = 0; i < 12288; i++) memory[i] = next();
  LD("lb") LD("lh") LD("lw") LD("ld") LD("lbu") LD("lhu") LD("lwu")
  ST("sb") ST("sh") ST("sw") ST("sd")
  begin("c.access");
  for (int i = 0; i < 100; i++) {
    register u64 x __asm__("a0") = next();
    register unsigned char *p __asm__("a1") = memory + (next() & 2040);
    register u64 y __asm__("a2");
    register u64 z __asm__("a3");
    __asm__ volatile("c.sd %2, 248(%3)\n c.ld %0, 248(%3)\n c.sw %2, 124(%3)\n c.lw %1, 124(%3)" : "=&r"(y), "=&r"(z) : "r"(x), "r"(p) : "memory");
    note(x, y, z);
  }
  for (int i = 0; i < 20; i++) {
    u64 v = next(), r, w;
    __asm__ volatile("c.addi16sp sp, -512\n c.sdsp %2, 504(sp)\n c.ldsp %0, 504(sp)\n c.swsp %2, 252(sp)\n c.lwsp %1, 252(sp)\n c.addi16sp sp, 496\n"
                     "c.addi16sp sp, 16" : "=&r"(r), "=&r"(w) : "r"(v) : "memory");
    note(v, r, w);
  }
  end("c.access");
}

#define AMO(name, type) { begin(name); for (int i = 0; i < 200; i++) { type word = operand(); u64 b = operand(), r; \
  __asm__ volatile(name " %0, %2, (%1)" : "=&r"(r) : "r"(&word), "r"(b) : "memory"); note(b, r, (u64)word); } end(name); }
static void atomics(void) {
  AMO("amoswap.w", uint32_t) AMO("amoadd.w", uint32_t) AMO("amoxor.w", uint32_t) AMO("amoand.w", uint32_t) AMO("amoor.w", uint32_t)
  AMO("amomin.w", uint32_t) AMO("amomax.w", uint32_t) AMO("amominu.w", uint32_t) AMO("amomaxu.w", uint32_t)
  AMO("amoswap.d", u64) AMO("amoadd.d", u64) AMO("amoxor.d", u64) AMO("amoand.d", u64) AMO("amoor.d", u64)
  AMO("amomin.d", u64) AMO("amomax.d", u64) AMO("amominu.d", u64) AMO("amomaxu.d", u64)
  begin("lr/sc");
  u64 word = 5, other = 9, a, b, c;
  __asm__ volatile("1: lr.d %0, (%3)\n addi %1, %0, 3\n sc.d %2, %1, (%3)\n bnez %2, 1b" : "=&r"(a), "=&r"(b), "=&r"(c) : "r"(&word) : "memory");
  note(a, b, word);
  /* Of another address, and a second time: fails, and stores nothing. */
  __asm__ volatile("lr.d %0, (%2)\n sc.d %1, %0, (%3)\n snez %1, %1" : "=&r"(a), "=&r"(b) : "r"(&word), "r"(&other) : "memory");
  note(b, word, other);
  __asm__ volatile("sc.d %0, %0, (%1)\n snez %0, %0" : "=&r"(a) : "r"(&word) : "memory");
  note(a, word, other);
  uint32_t half = 0x80000001;
  __asm__ volatile("1: lr.w.aq %0, (%2)\n sc.w.rl %1, %0, (%2)\n bnez %1, 1b" : "=&r"(a), "=&r"(b) : "r"(&half) : "memory");
  note(a, b, half);
  end("lr/sc");
}

/* A 32-bit instruction of each kind whose two halves lie in two pages. */
#define CROSS(label, insn) \
  __asm__(".text\n .balign 4096\n .skip 4090, 0\n .globl " #label "\n" #label ": c.nop\n c.nop\n " insn "\n ret\n .balign 4096\n"); \
  extern u64 label(u64 a, u64 b)
CROSS(crossAdd, ".option push\n.option norvc\n add a0, a0, a1\n.option pop");
CROSS(crossLoad, ".option push\n.option norvc\n ld a0, 0(a1)\n.option pop");
CROSS(crossBranch, ".option push\n.option norvc\n beq a0, a1, 1f\n li a0, 77\n 1: nop\n.option pop");
CROSS(crossJump, ".option push\n.option norvc\n jal t0, 1f\n 1: sub a0, t0, a0\n.option pop");
CROSS(crossAuipc, ".option push\n.option norvc\n auipc a0, 1\n.option pop");

static void crossings(void) {
  begin("crossings");
  u64 word = 0x123456789abcdef;
  for (int i = 0; i < 3; i++) {
    note(0, 0, crossAdd(next(), next()));
    note(0, 0, crossLoad(0, (u64)&word));
    note(0, 0, crossBranch(4, 4));
    note(0, 0, crossBranch(4, 5));
    note(0, 0, crossJump((u64)crossJump, 0));
    note(0, 0, crossAuipc(0, 0) - (u64)crossAuipc);
  }
  end("crossings");
}

/* Code that is written, run, written over and run again. */
static void selfModifying(void) {
  begin("fence.i");
  uint32_t *code = mmap(0, 8192, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  for (int i = 0; i < 20; i++) {
    code[0] = 0x00000513 | (i << 20); /* li a0, i */
    code[1] = 0x00008067;             /* ret */
    __asm__ volatile("fence.i" : : : "memory");
    note(i, 0, ((u64(*)(void))code)());
  }
  munmap(code, 8192);
  for (int i = 0; i < 5; i++) {
    uint32_t *again = mmap(code, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    again[0] = 0x00000513 | ((100 + i) << 20);
    again[1] = 0x00008067;
    __asm__ volatile("fence.i" : : : "memory");
    note(i, 0, ((u64(*)(void))again)());
    munmap(again, 4096);
  }
  end("fence.i");
}

static void csrs(void) {
  begin("csr");
  for (int i = 0; i < 60; i++) {
    u64 v = next(), a, b, c, d, e, f, g;
    __asm__ volatile("csrrw %0, fcsr, %7\n csrrs %1, fflags, %7\n csrrc %2, frm, %7\n csrrwi %3, fflags, 21\n csrrsi %4, frm, 2\n csrrci %5, fcsr, 9\n"
                     "csrr %6, fcsr\n fscsr x0" : "=&r"(a), "=&r"(b), "=&r"(c), "=&r"(d), "=&r"(e), "=&r"(f), "=&r"(g) : "r"(v));
    note(a, b, c);
    note(d, e, f);
    note(v, 0, g);
  }
  end("csr");
}

int main(int argc, char **argv) {
  wanted = argc > 1 ? argv[1] : 0;
  if (wanted && strcmp(wanted, "ctzw-high") == 0) {
    u64 r;
    __asm__ volatile("ctzw %0, %1" : "=r"(r) : "r"(0x8000000000000000ul));
    printf("%lu\n", r);
    return 0;
  }
  integers();
  trailingZeros();
  upper();
  branches();
  zeroRegister();
  compressed();
  accesses();
  atomics();
  crossings();
  selfModifying();
  csrs();
  return 0;
}
