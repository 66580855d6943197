/**
 * Rewrites the explorer's kernel so that every load and store is told to assembly/sched/footprint.ts first.
 *
 *   load   [addr]       ->  local.tee a; call noteLoad(a + offset);  local.get a; load
 *   store  [addr, v]    ->  local.set v; local.tee a; call noteStore(a + offset);  local.get a; local.get v; store
 *   memory.fill, memory.copy  ->  noteWrite(to, n), noteRead(from, n), then the instruction
 *
 * Interface: instrument(bytes).
 * Invariants:
 *   [ins-1] the functions of sched/footprint and sched/explore are left alone: a note must not take notes.
 *   [ins-2] the result computes what the module computes: three operands at most are kept in locals of their own, and put back.
 *   [ins-3] an access is of one granule: the kernel's structs are aligned.
 * Locks: none.
 * Why not notes in the sources: one that is forgotten makes the search unsound, and nobody would see it.
 */

const I32 = 0x7f;
const I64 = 0x7e;
const F32 = 0x7d;
const F64 = 0x7c;
const SECTION = { custom: 0, type: 1, import: 2, function: 3, export: 7, code: 10 } as const;
const LEFT_ALONE = /sched\/(footprint|explore)\/|kernel\/explore\//;

class Reader {
  at = 0;
  constructor(readonly bytes: Uint8Array) {}

  byte(): number {
    const value = this.bytes[this.at++];
    if (value === undefined) throw new Error("the module ends in the middle");
    return value;
  }
  u32(): number {
    let value = 0;
    for (let shift = 0; ; shift += 7) {
      const byte = this.byte();
      value += (byte & 0x7f) * 2 ** shift;
      if (byte < 0x80) return value;
    }
  }
  /** Skips a LEB128 number of any width. */
  skipLeb(): void {
    while (this.byte() >= 0x80);
  }
  take(lenBytes: number): Uint8Array {
    this.at += lenBytes;
    return this.bytes.subarray(this.at - lenBytes, this.at);
  }
  name(): string {
    return new TextDecoder().decode(this.take(this.u32()));
  }
  get done(): boolean {
    return this.at >= this.bytes.length;
  }
}

class Writer {
  private buffer = new Uint8Array(1 << 16);
  length = 0;

  byte(value: number): void {
    if (this.length === this.buffer.length) this.grow(1);
    this.buffer[this.length++] = value;
  }
  u32(value: number): void {
    for (; value >= 0x80; value = Math.floor(value / 128)) this.byte((value % 128) | 0x80);
    this.byte(value);
  }
  /** i32.const of an offset, which is not negative. */
  i32Const(value: number): void {
    this.byte(0x41);
    for (; value >= 0x40; value = Math.floor(value / 128)) this.byte((value % 128) | 0x80);
    this.byte(value);
  }
  put(bytes: Uint8Array): void {
    if (this.length + bytes.length > this.buffer.length) this.grow(bytes.length);
    this.buffer.set(bytes, this.length);
    this.length += bytes.length;
  }
  get bytes(): Uint8Array {
    return this.buffer.subarray(0, this.length);
  }
  private grow(by: number): void {
    const larger = new Uint8Array(2 * this.buffer.length + by);
    larger.set(this.buffer);
    this.buffer = larger;
  }
}

interface Notes {
  load: number;
  store: number;
  read: number;
  write: number;
}

interface Module {
  /** Parameters of each type. */
  parameters: number[];
  /** Type of each function that the module defines, and how many it imports. */
  functions: number[];
  imports: number;
  notes: Notes;
  /** Functions that are left alone. */
  alone: Set<number>;
}

function sectionsOf(bytes: Uint8Array): { id: number; body: Uint8Array }[] {
  const reader = new Reader(bytes);
  reader.take(8);
  const sections = [];
  while (!reader.done) {
    const id = reader.byte();
    sections.push({ id, body: reader.take(reader.u32()) });
  }
  return sections;
}

function parametersOf(body: Uint8Array): number[] {
  const reader = new Reader(body);
  return Array.from({ length: reader.u32() }, () => {
    if (reader.byte() !== 0x60) throw new Error("a type that is no function's");
    const count = reader.u32();
    reader.take(count);
    reader.take(reader.u32());
    return count;
  });
}

/** Imported functions of an import section. */
function importsOf(body: Uint8Array): number {
  const reader = new Reader(body);
  let functions = 0;
  for (let left = reader.u32(); left > 0; left--) {
    reader.take(reader.u32());
    reader.take(reader.u32());
    const kind = reader.byte();
    if (kind === 0) {
      functions++;
      reader.u32();
    } else if (kind === 2) {
      const hasMaximum = (reader.byte() & 1) !== 0;
      reader.u32();
      if (hasMaximum) reader.u32();
    } else throw new Error(`an import of kind ${kind}`);
  }
  return functions;
}

function notesOf(body: Uint8Array): Notes {
  const reader = new Reader(body);
  const found = new Map<string, number>();
  for (let left = reader.u32(); left > 0; left--) {
    const name = reader.name();
    reader.byte();
    found.set(name, reader.u32());
  }
  const of = (name: string): number => {
    const index = found.get(name);
    if (index === undefined) throw new Error(`the kernel has no ${name}: it is not the explorer's`);
    return index;
  };
  return { load: of("noteLoad"), store: of("noteStore"), read: of("noteRead"), write: of("noteWrite") };
}

/** Functions whose names are of the rooms that are left alone, from the name section. */
function aloneOf(body: Uint8Array): Set<number> {
  const reader = new Reader(body);
  const alone = new Set<number>();
  if (reader.name() !== "name") return alone;
  while (!reader.done) {
    const kind = reader.byte();
    const part = new Reader(reader.take(reader.u32()));
    if (kind !== 1) continue;
    for (let left = part.u32(); left > 0; left--) {
      const index = part.u32();
      if (LEFT_ALONE.test(part.name())) alone.add(index);
    }
  }
  return alone;
}

function read(bytes: Uint8Array): Module {
  const module: Module = { parameters: [], functions: [], imports: 0, notes: { load: 0, store: 0, read: 0, write: 0 }, alone: new Set() };
  for (const { id, body } of sectionsOf(bytes)) {
    if (id === SECTION.type) module.parameters = parametersOf(body);
    else if (id === SECTION.import) module.imports = importsOf(body);
    else if (id === SECTION.export) module.notes = notesOf(body);
    else if (id === SECTION.function) {
      const reader = new Reader(body);
      module.functions = Array.from({ length: reader.u32() }, () => reader.u32());
    } else if (id === SECTION.custom) for (const index of aloneOf(body)) module.alone.add(index);
  }
  if (module.alone.size === 0) throw new Error("the kernel has no names: build it with debug");
  return module;
}

/** Type of what an opcode stores; undefined: it is no store. */
function storedType(op: number): number | undefined {
  if (op < 0x36 || op > 0x3e) return undefined;
  if (op === 0x37 || op >= 0x3c) return I64;
  return op === 0x38 ? F32 : op === 0x39 ? F64 : I32;
}

/** Rewrites the instructions of one function. */
class Body {
  private readonly out = new Writer();
  private readonly reader: Reader;
  /** First of the five locals: two addresses and a length (i32), i64, f32, f64 follow. */
  private first = 0;

  constructor(
    body: Uint8Array,
    parameters: number,
    private readonly notes: Notes,
  ) {
    this.reader = new Reader(body);
    const groups = this.reader.u32();
    this.out.u32(groups + 4);
    let locals = parameters;
    for (let i = 0; i < groups; i++) {
      const count = this.reader.u32();
      locals += count;
      this.out.u32(count);
      this.out.byte(this.reader.byte());
    }
    this.first = locals;
    for (const [count, type] of [
      [3, I32],
      [1, I64],
      [1, F32],
      [1, F64],
    ] as const) {
      this.out.u32(count);
      this.out.byte(type);
    }
  }

  rewrite(): Uint8Array {
    while (!this.reader.done) this.instruction();
    return this.out.bytes;
  }

  private local(op: "get" | "set" | "tee", index: number): void {
    this.out.byte({ get: 0x20, set: 0x21, tee: 0x22 }[op]);
    this.out.u32(this.first + index);
  }

  private call(index: number): void {
    this.out.byte(0x10);
    this.out.u32(index);
  }

  private localOf(type: number): number {
    return type === I32 ? 1 : type === I64 ? 3 : type === F32 ? 4 : 5;
  }

  private instruction(): void {
    const { reader } = this;
    const start = reader.at;
    const op = reader.byte();
    if (op >= 0x28 && op <= 0x3e) this.access(op, start);
    else if (op === 0xfc) this.bulk(start);
    else {
      skipImmediates(reader, op);
      this.out.put(reader.bytes.subarray(start, reader.at));
    }
  }

  private access(op: number, start: number): void {
    const { reader, out } = this;
    reader.u32();
    const offset = reader.u32();
    const type = storedType(op);
    if (type !== undefined) this.local("set", this.localOf(type));
    this.local("tee", 0);
    if (offset !== 0) {
      out.i32Const(offset);
      out.byte(0x6a);
    }
    this.call(type === undefined ? this.notes.load : this.notes.store);
    this.local("get", 0);
    if (type !== undefined) this.local("get", this.localOf(type));
    out.put(reader.bytes.subarray(start, reader.at));
  }

  /** memory.fill and memory.copy take a target, a byte or a source, and a length. */
  private bulk(start: number): void {
    const { reader, out, notes } = this;
    const op = reader.u32();
    if (op === 10) reader.take(2);
    else if (op === 11) reader.take(1);
    else if (op > 7) throw new Error(`instruction 0xfc ${op} is not rewritten`);
    if (op >= 10) {
      this.local("set", 2);
      this.local("set", 1);
      this.local("set", 0);
      if (op === 10) this.noteRange(notes.read, 1);
      this.noteRange(notes.write, 0);
      for (const index of [0, 1, 2]) this.local("get", index);
    }
    out.put(reader.bytes.subarray(start, reader.at));
  }

  private noteRange(note: number, at: number): void {
    this.local("get", at);
    this.local("get", 2);
    this.call(note);
  }
}

function skipImmediates(reader: Reader, op: number): void {
  if ((op >= 0x02 && op <= 0x04) || op === 0x0c || op === 0x0d || op === 0x10 || (op >= 0x20 && op <= 0x26)) reader.skipLeb();
  else if (op === 0x0e) for (let left = reader.u32() + 1; left > 0; left--) reader.u32();
  else if (op === 0x11) {
    reader.u32();
    reader.u32();
  } else if (op === 0x3f || op === 0x40) reader.take(1);
  else if (op === 0x41 || op === 0x42) reader.skipLeb();
  else if (op === 0x43) reader.take(4);
  else if (op === 0x44) reader.take(8);
  else if (op === 0x1c) for (let left = reader.u32(); left > 0; left--) reader.take(1);
  else if (op > 0xc4) throw new Error(`opcode 0x${op.toString(16)} is not known`);
}

function rewriteCode(body: Uint8Array, module: Module): Uint8Array {
  const reader = new Reader(body);
  const out = new Writer();
  const count = reader.u32();
  out.u32(count);
  for (let i = 0; i < count; i++) {
    const code = reader.take(reader.u32());
    const parameters = module.parameters[module.functions[i] ?? -1] ?? 0;
    const rewritten = module.alone.has(module.imports + i) ? code : new Body(code, parameters, module.notes).rewrite();
    out.u32(rewritten.length);
    out.put(rewritten);
  }
  return out.bytes;
}

/** The module with notes. Throws for a module that is not the explorer's kernel. */
export function instrument(bytes: Uint8Array): Uint8Array {
  const module = read(bytes);
  const out = new Writer();
  out.put(bytes.subarray(0, 8));
  for (const { id, body } of sectionsOf(bytes)) {
    const section = id === SECTION.code ? rewriteCode(body, module) : body;
    out.byte(id);
    out.u32(section.length);
    out.put(section);
  }
  return out.bytes;
}
