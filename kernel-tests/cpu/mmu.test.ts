/*
 * Page table entries, the Sv48 walk and the TLB: the format by the specification, rights exhaustively, and the TLB against
 * the page tables it caches.
 *
 * Checks: [mmu-1] [mmu-2] [mmu-3] [tlb-1] [tlb-2].
 */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { lawOf, u64 } from "../host-harness";
import { holds } from "../property";
import { A, ACCESS, type Access, CAUSE, CpuMachine, D, G, PAGE, R, U, USER_LIMIT, V, W, X, pteOf } from "./machine";

const ACCESSES = ["read", "write", "fetch"] as const;
const ALL = V | R | W | X | U | A | D;
const NEEDS = { read: R, write: W, fetch: X } as const;

describe("page table entries", () => {
  it("have the bits of the RISC-V privileged specification", () => {
    const { harness } = new CpuMachine();
    const bits = { PTE_V: V, PTE_R: R, PTE_W: W, PTE_X: X, PTE_U: U, PTE_G: G, PTE_A: A, PTE_D: D };
    for (const [name, bit] of Object.entries(bits)) expect(harness.constant(name), name).toBe(Number(bit));
    const geometry = { PTE_PPN_SHIFT: 10, PTE_LEVELS: 4, PTRS_PER_TABLE: 512, PMD_SIZE: 2 << 20, PTE_SPECIAL: 1 << 8 };
    for (const [name, value] of Object.entries(geometry)) expect(harness.constant(name), name).toBe(value);
    const causes = { CAUSE_FETCH_PAGE_FAULT: 12, CAUSE_LOAD_PAGE_FAULT: 13, CAUSE_STORE_PAGE_FAULT: 15 };
    for (const [name, value] of Object.entries(causes)) expect(harness.constant(name), name).toBe(value);
  });

  it("are made and taken apart without loss", () => {
    const m = new CpuMachine();
    holds(fc.tuple(fc.integer({ min: 0, max: 2 ** 32 - 1 }), fc.bigInt({ min: 0n, max: 1023n })), 300, ([pfn, flags]) => {
      const pte = u64(m.call("pteMake", pfn, flags));
      expect(pte).toBe((BigInt(pfn) << 10n) | flags);
      expect(m.call("ptePfn", pte) >>> 0).toBe(pfn);
      const is = (name: string): boolean => m.call(name, pte) !== 0;
      expect(["ptePresent", "pteWritable", "pteDirty", "pteLeaf"].map(is)).toEqual([V, W, D, R | W | X].map((bit) => (flags & bit) !== 0n));
    });
  });

  it("index their tables by nine bits a level", () => {
    const m = new CpuMachine();
    holds(fc.bigInt({ min: 0n, max: USER_LIMIT - 1n }), 200, (address) => {
      for (let level = 0; level < 4; level++) {
        const want = Number((address >> BigInt(12 + 9 * level)) & 511n);
        expect(m.call("vpnIndex", address, level)).toBe(want);
      }
    });
  });
});

const address = 0x3f_1234_5678_9000n & (USER_LIMIT - 1n);

describe("the walk", () => {
  it("[mmu-2] [mmu-3] rights: every combination of flags and access", () => {
    const m = new CpuMachine({ tlbEntries: 4 });
    const page = m.map(address, 0n);
    const slot = m.slot(address);
    for (let flags = 0n; flags < 256n; flags++) {
      for (const access of ACCESSES) {
        m.setPte(slot, pteOf(page, flags));
        m.call("tlbFlushAll", m.cpu);
        const before = m.state();
        const allowed = (flags & V) !== 0n && (flags & U) !== 0n && (flags & NEEDS[access]) !== 0n;
        const name = `flags ${flags.toString(2)}, ${access}`;
        expect(m.refill(address, access), name).toBe(allowed ? 0 : CAUSE[access]);
        if (!allowed) {
          expect(Buffer.compare(m.state(), before), `${name}: a fault changes nothing`).toBe(0);
          continue;
        }
        const after = flags | A | (access === "write" ? D : 0n);
        expect(m.pte(slot), `${name}: A and D`).toBe(pteOf(page, after));
        const writable = (after & W) !== 0n && (after & D) !== 0n;
        const want = `${(flags & R) !== 0n ? "r" : "-"}${writable ? "w" : "-"}${(flags & X) !== 0n ? "x" : "-"}`;
        expect(m.grants(address), `${name}: the TLB`).toBe(want);
        expect(m.lookup(address + 0x123n, access), `${name}: the frame`).toBe(page + 0x123);
      }
    }
  });

  it("faults at whichever level is missing, and changes nothing", () => {
    for (const level of [3, 2, 1, 0]) {
      for (const access of ACCESSES) {
        const m = new CpuMachine();
        m.map(address, ALL);
        const slot = m.slot(address, 0, level);
        m.setPte(slot, m.pte(slot) & ~V);
        const before = m.state();
        expect(m.refill(address, access)).toBe(CAUSE[access]);
        expect(Buffer.compare(m.state(), before)).toBe(0);
        m.setPte(slot, m.pte(slot) | V);
        expect(m.refill(address, access)).toBe(0);
      }
    }
  });

  it("finds the page of any address among many", () => {
    const space = fc.uniqueArray(fc.bigInt({ min: 0n, max: (USER_LIMIT >> 12n) - 1n }), { minLength: 1, maxLength: 12 });
    holds(space, 40, (pages) => {
      const m = new CpuMachine({ tlbEntries: 8 });
      const frames = pages.map((page) => m.map(page << 12n, ALL));
      pages.forEach((page, i) => {
        const at = (page << 12n) + BigInt((i * 577) % PAGE);
        expect(m.call("mmuTranslate", m.cpu, at, 1, ACCESS.read)).toBe(frames[i]! + ((i * 577) % PAGE));
      });
    });
  });

  it("no table, and no address of the other half, is walked", () => {
    const m = new CpuMachine();
    m.map(0x1000n, ALL);
    m.map(USER_LIMIT - 4096n, ALL);
    expect(m.refill(USER_LIMIT - 1n, "read")).toBe(0);
    const outside = [
      USER_LIMIT,
      (1n << 48n) | 0x1000n,
      (1n << 63n) | 0x1000n,
      2n ** 64n - 1n,
      2n ** 64n - 0x1000n,
      (0xffffn << 48n) | 0x1000n,
    ];
    for (const at of outside) for (const access of ACCESSES) expect(m.refill(at, access), at.toString(16)).toBe(CAUSE[access]);
    const cpu = m.call("mmuCpu", 0, 0, 0n);
    expect(m.call("mmuRefill", cpu, 0x1000n, ACCESS.read)).toBe(CAUSE.read);
  });
});

describe("the TLB", () => {
  it("[mmu-1] has no write for a clean page: the first store walks and sets D, later ones hit", () => {
    const m = new CpuMachine();
    m.map(address, V | R | W | U);
    const slot = m.slot(address);
    expect(m.refill(address, "read")).toBe(0);
    expect([m.grants(address), m.pte(slot) & (A | D)]).toEqual(["r--", A]);
    expect(m.lookup(address, "write")).toBe(0);
    expect(m.refill(address, "write")).toBe(0);
    expect([m.grants(address), m.pte(slot) & (A | D)]).toEqual(["rw-", A | D]);
    // Cleaned by writeback: with the flush that goes with it, the next store walks again.
    m.setPte(slot, m.pte(slot) & ~D);
    m.call("tlbFlushPage", m.cpu, address, u64(m.call("contextTag", 0)));
    expect([m.grants(address), m.refill(address, "read"), m.grants(address)]).toEqual(["---", 0, "r--"]);
  });

  it("an access that crosses into the next page misses, whatever is cached", () => {
    const m = new CpuMachine();
    m.map(address, ALL);
    m.map(address + 4096n, ALL);
    for (const at of [address, address + 4096n]) m.refill(at, "write");
    for (let len = 1; len <= 16; len++) {
      for (let offset = 4080; offset < 4096; offset++) {
        const fits = offset + len <= PAGE;
        expect(m.lookup(address + BigInt(offset), "read", len) !== 0, `${len} bytes at ${offset}`).toBe(fits);
      }
    }
  });

  it("[tlb-2] address spaces do not see each other's entries, with any context numbers", () => {
    const context = fc.oneof(
      fc.integer({ min: 0, max: 20 }),
      fc.integer({ min: 0, max: 0x0ffffffd }),
      fc.constantFrom(0x1000, 0x1001, 0xfff000),
    );
    holds(fc.uniqueArray(context, { minLength: 2, maxLength: 6 }), 60, (contexts) => {
      const m = new CpuMachine({ tlbEntries: 64 });
      contexts.forEach((number, space) => {
        m.use(space, number);
        m.map(address + BigInt(space) * 4096n, ALL, space);
        expect(m.refill(address + BigInt(space) * 4096n, "write")).toBe(0);
      });
      contexts.forEach((number, space) => {
        m.use(space, number);
        contexts.forEach((_, other) => {
          expect(m.grants(address + BigInt(other) * 4096n)).toBe(other === space ? "rwx" : "---");
        });
      });
    });
  });

  it("grants nothing to an address outside the user half, with any context number", () => {
    const context = fc.oneof(
      fc.constant(0),
      fc.nat({ max: 31 }).map((bit) => 2 ** Math.min(bit, 27)),
      fc.integer({ min: 0, max: 0x0ffffffd }),
    );
    const high = fc.bigInt({ min: 1n, max: (1n << 17n) - 1n });
    holds(fc.tuple(context, high), 200, ([number, bits]) => {
      const m = new CpuMachine();
      m.use(0, number);
      m.map(address, ALL);
      m.refill(address, "write");
      expect(m.grants(address)).toBe("rwx");
      expect(m.grants(address | (bits << 47n)), `context ${number}, bits ${bits.toString(2)}`).toBe("---");
    });
  });

  it("flushes one page of one space, or everything", () => {
    const m = new CpuMachine();
    const at = [0n, 1n, 2n].map((i) => address + i * 4096n);
    for (const each of at) {
      m.map(each, ALL);
      m.refill(each, "write");
    }
    m.call("tlbFlushPage", m.cpu, at[1]!, u64(m.call("contextTag", 7)));
    expect(
      at.map((each) => m.grants(each)),
      "another space's flush",
    ).toEqual(["rwx", "rwx", "rwx"]);
    m.call("tlbFlushPage", m.cpu, at[1]!, u64(m.call("contextTag", 0)));
    expect(at.map((each) => m.grants(each))).toEqual(["rwx", "---", "rwx"]);
    m.call("tlbFlushAll", m.cpu);
    expect(at.map((each) => m.grants(each))).toEqual(["---", "---", "---"]);
  });

  it("[tlb-2] contexts are used once between two clearings of every TLB", () => {
    const m = new CpuMachine({ cpus: 2 });
    m.map(address, ALL);
    m.refill(address, "write");
    const max = 0x0ffffffe;
    m.call("mmuSetNextContext", max - 2);
    const before = m.call("mmuState", 2);
    expect([m.call("contextAlloc"), m.call("contextAlloc")]).toEqual([max - 2, max - 1]);
    expect([m.grants(address), m.call("mmuState", 1)]).toEqual(["rwx", 0]);
    expect(m.call("contextAlloc")).toBe(1);
    expect([m.grants(address), m.call("mmuState", 1), m.call("mmuState", 2)]).toEqual(["---", 1, before + 1]);
  });

  it("[tlb-1] grants what the page table grants, as long as every right that is lost is flushed", () => {
    const flags = fc.constantFrom(0n, V | R | U, V | R | W | U, V | R | W | U | A | D, V | X | U, ALL, V | R | W);
    const one = fc.tuple(fc.nat({ max: 3 }), fc.nat({ max: 11 }), fc.constantFrom<Access>(...ACCESSES), flags);
    holds(fc.array(one, { maxLength: 80, size: "max" }), 60, (ops) => {
      // Eight entries for twelve pages: pages share entries and evict each other.
      const m = new CpuMachine({ tlbEntries: 8 });
      const at = (i: number): bigint => address + BigInt(i) * 4096n;
      const frames = Array.from({ length: 12 }, (_, i) => m.map(at(i), 0n));
      for (const [kind, i, access, pte] of ops) {
        if (kind === 0) {
          m.setPte(m.slot(at(i)), pteOf(frames[i]!, pte));
          m.call("tlbFlushPage", m.cpu, at(i), u64(m.call("contextTag", 0)));
        } else {
          const now = m.pte(m.slot(at(i)));
          const allowed = (now & V) !== 0n && (now & U) !== 0n && (now & NEEDS[access]) !== 0n;
          const got = m.call("mmuTranslate", m.cpu, at(i) + 8n, 8, ACCESS[access]);
          expect(got, `${access} of page ${i}`).toBe(allowed ? frames[i]! + 8 : 0);
          if (allowed) expect(m.pte(m.slot(at(i))) & (access === "write" ? A | D : A)).toBe(access === "write" ? A | D : A);
        }
        for (let page = 0; page < 12; page++) {
          const now = m.pte(m.slot(at(page)));
          if (m.lookup(at(page), "write") !== 0) expect(now & (W | D), "[mmu-1]").toBe(W | D);
          for (const each of ACCESSES) {
            if (m.lookup(at(page), each) !== 0) expect(now & (V | U | A | NEEDS[each]), "[tlb-1]").toBe(V | U | A | NEEDS[each]);
          }
        }
      }
    });
  });

  it("wants a power of two entries", () => {
    expect(lawOf(() => new CpuMachine({ tlbEntries: 6 }))).toMatch("TLB entries are a power of two");
  });
});
