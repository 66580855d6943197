/**
 * Where the kernel's structs keep their fields, asked from the kernel itself; and the mailbox's layout.
 */
import { type KernelExports, readString } from "./wasm.js";

/** Offsets of BootConfig's fields, bytes; `seed` is u64, the rest u32. */
export type ConfigLayout = ReadonlyMap<string, number>;

/** Offsets of a Task's fields, bytes. */
export interface TaskLayout {
  id: number;
  tgid: number;
  parent: number;
  state: number;
  cpu: number;
  exitCode: number;
  /** The mailbox, inside the task. */
  op: number;
  minFlt: number;
  majFlt: number;
  fatalSignal: number;
  /** The call of a filesystem in TypeScript, inside the task. */
  hostCall: number;
}

/** Mailbox fields, bytes from its start (assembly/kernel/mailbox.ts). */
export const MAILBOX = { nr: 0, flags: 4, args: 8, result: 56, faultAddress: 64, signal: 72, bytes: 76, buffer: 80 } as const;

export const TASK_GUEST_WAIT = 5;
export const TASK_ZOMBIE = 6;

function table(memory: WebAssembly.Memory, name: (i: number) => number, offset: (i: number) => number): Map<string, number> {
  const fields = new Map<string, number>();
  for (let i = 0; ; i++) {
    const text = readString(memory, name(i));
    if (text === "") return fields;
    fields.set(text, offset(i));
  }
}

export function configLayout(kernel: KernelExports, memory: WebAssembly.Memory): ConfigLayout {
  return table(memory, kernel.configFieldName, kernel.configFieldOffset);
}

export function taskLayout(kernel: KernelExports, memory: WebAssembly.Memory): TaskLayout {
  const fields = table(memory, kernel.taskFieldName, kernel.taskFieldOffset);
  const at = (name: string): number => {
    const offset = fields.get(name);
    if (offset === undefined) throw new Error(`the kernel has no Task.${name}`);
    return offset;
  };
  return {
    id: at("id"),
    tgid: at("tgid"),
    parent: at("parent"),
    state: at("state"),
    cpu: at("cpu"),
    exitCode: at("exitCode"),
    op: at("op"),
    minFlt: at("minFlt"),
    majFlt: at("majFlt"),
    fatalSignal: at("fatalSignal"),
    hostCall: at("hostCall"),
  };
}

/** Names by index until the empty one. */
export function nameTable(memory: WebAssembly.Memory, name: (i: number) => number): string[] {
  const names: string[] = [];
  for (let i = 0; ; i++) {
    const text = readString(memory, name(i));
    if (text === "") return names;
    names.push(text);
  }
}
