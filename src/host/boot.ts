/**
 * From a configuration to a booted kernel: how much memory it needs, its fields, its costs.
 *
 * Interface: bootKernel(module, config), BootedKernel.
 * Invariants: [boot-h1] memory never grows after boot, so views of it stay good.
 * Locks: none.
 * Why not a size formula here: the kernel carves its memory, so the kernel is asked, on a scratch memory of its own.
 */
import { ConfigError, type KernelNumbers, type MachineConfig, kernelNumbers } from "./config.js";
import { writeDiskModel } from "./disk.js";
import { configLayout, nameTable } from "./layout.js";
import { writeScriptedTable } from "./scripted-fs.js";
import { type KernelExports, instantiateKernel } from "./wasm.js";

const WASM_PAGE = 65536;
const MAX_WASM_PAGES = 65536;
/** Static data and the structs below BOOT_BASE: all that configDefaults and minimumBytes touch. */
const SCRATCH_PAGES = 4;
const EINVAL = 22;
/** Wasm pages behind the machine's memory for the explorer: log and script, states that were met, steps; footprints come on top. */
const EXPLORE_PAGES = 196;

function spareFor(config: MachineConfig, pages: number): number {
  return config.choices === "explore" ? EXPLORE_PAGES + 2 * pages : 0;
}

export interface BootedKernel {
  kernel: KernelExports;
  memory: WebAssembly.Memory;
  /** First byte behind the machine's memory. */
  endBytes: number;
}

/** Boots a kernel. Throws ConfigError for a configuration that makes no machine or does not fit. */
export function bootKernel(module: WebAssembly.Module, config: MachineConfig): BootedKernel {
  const numbers = kernelNumbers(config);
  const pages = pagesFor(module, config, numbers);
  const memory = allocate(pages + spareFor(config, pages));
  const kernel = instantiateKernel(module, memory);
  configure(kernel, memory, config, numbers, pages * WASM_PAGE);
  const error = kernel.boot();
  if (error === -EINVAL) throw new ConfigError("the kernel takes this configuration for no machine (EINVAL)");
  if (error !== 0) {
    throw new ConfigError(`memory of ${numbers.frames * 4096} bytes is too small for ${numbers.cpus} CPUs (errno ${-error})`);
  }
  if (config.mutant !== undefined) selectMutant(kernel, memory, config.mutant);
  // After boot, which fills in the disk it assumes.
  writeDiskModel(new DataView(memory.buffer), kernel.diskModelPtr(), config.disk ?? {});
  return { kernel, memory, endBytes: pages * WASM_PAGE };
}

function allocate(pages: number): WebAssembly.Memory {
  try {
    return new WebAssembly.Memory({ initial: pages, maximum: pages });
  } catch {
    throw new ConfigError(`this computer cannot give ${pages * WASM_PAGE} bytes of linear memory`);
  }
}

function pagesFor(module: WebAssembly.Module, config: MachineConfig, numbers: KernelNumbers): number {
  const memory = new WebAssembly.Memory({ initial: SCRATCH_PAGES });
  const kernel = instantiateKernel(module, memory);
  configure(kernel, memory, config, numbers, 0);
  const pages = Math.ceil(kernel.minimumBytes() / WASM_PAGE);
  if (pages > MAX_WASM_PAGES) throw new ConfigError("the machine needs more than the 4 GiB that a wasm memory can have");
  return pages;
}

function configure(
  kernel: KernelExports,
  memory: WebAssembly.Memory,
  config: MachineConfig,
  numbers: KernelNumbers,
  memoryBytes: number,
): void {
  kernel.configDefaults(memoryBytes, numbers.frames, numbers.cpus);
  const layout = configLayout(kernel, memory);
  const view = new DataView(memory.buffer);
  const at = (field: string): number => {
    const offset = layout.get(field);
    if (offset === undefined) throw new Error(`the kernel has no BootConfig.${field}`);
    return kernel.configPtr() + offset;
  };
  for (const [field, value] of numbers.fields) view.setUint32(at(field), value, true);
  view.setBigUint64(at("seed"), BigInt(numbers.seed), true);
  try {
    writeScriptedTable(view, kernel.scriptedFsTable(), config.filesystems ?? []);
  } catch (error) {
    throw error instanceof RangeError ? new ConfigError(error.message) : error;
  }
  setCosts(kernel, memory, config.costs ?? {});
}

function setCosts(kernel: KernelExports, memory: WebAssembly.Memory, costs: Readonly<Record<string, number>>): void {
  const names = nameTable(memory, kernel.costName);
  const table = new Uint32Array(memory.buffer, kernel.costTablePtr(), kernel.costCount());
  for (const [name, ns] of Object.entries(costs)) {
    const id = names.indexOf(name);
    if (id < 0) throw new ConfigError(`unknown cost "${name}"; the costs are ${names.join(", ")}`);
    if (!Number.isInteger(ns) || ns < 0 || ns > 1e9) {
      throw new ConfigError(`cost ${name} is ${ns}; it must be a whole number of ns, 0 to 1e9`);
    }
    table[id] = ns;
  }
}

/** Every mutant that the kernel can be made into, by number; number 0 is the healthy kernel. Empty for a build without mutants. */
export function mutantNames(kernel: KernelExports, memory: WebAssembly.Memory): string[] {
  return nameTable(memory, kernel.mutantName);
}

function selectMutant(kernel: KernelExports, memory: WebAssembly.Memory, name: string): void {
  const names = mutantNames(kernel, memory);
  if (names.length === 0) throw new ConfigError(`mutant is ${name}; only the explorer's build of the kernel has mutants`);
  const id = names.indexOf(name);
  if (id < 0) throw new ConfigError(`mutant is ${name}; the mutants are ${names.slice(1).join(", ")}`);
  kernel.mutantSelect(id);
}

/** The cost table in force, ns by name. */
export function costTable({ kernel, memory }: BootedKernel): Record<string, number> {
  const table = new Uint32Array(memory.buffer, kernel.costTablePtr(), kernel.costCount());
  return Object.fromEntries(nameTable(memory, kernel.costName).map((name, id) => [name, table[id] ?? 0]));
}
