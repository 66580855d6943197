/**
 * Regimes as users write them: `linux-4.19+generic_page_mkwrite_nommapsem`.
 *
 *     regime  = part ["+" part]            one of each kind at most; a kind that is missing has Linux 4.19's
 *     part    = fault lock | mkwrite | "bacik-v3" {":" ("D1" .. "D6" | "none")}     defects that are on; as posted without
 *     regimes = regime {"," regime}        "*" stands for every part of its kind: "*+kara", "linux-6.7+*", "*+*"
 *
 * Interface: Regime, parseRegimes, regimeName, regimeConfig, regimeOf, usesHelper.
 * Invariants: [reg-1] parseRegimes(regimeName(r)) is r; equal regimes have one name.
 * Locks: none.
 * Why not one list of names: fault lock and mkwrite are two tables, and every combination is a question (DESIGN D8).
 */
import { FAULT_LOCK_REGIMES, type FaultLockRegime, MKWRITE_REGIMES, type MachineConfig, type MkwriteRegime } from "../host/config.js";
import { ParseError } from "./parse.js";
import { suggestion } from "./suggest.js";

export interface Regime {
  faultLock: FaultLockRegime;
  mkwrite: MkwriteRegime;
  /** bacik-v3 only: bit n-1 for Dn. Absent: as posted. */
  bacikDefects?: number;
}

const FAULT_LOCK_DEFAULT: FaultLockRegime = "linux-4.19";
const MKWRITE_DEFAULT: MkwriteRegime = "generic_page_mkwrite";
/** D1 is of v1; v3 has D2 to D6. */
const DEFECTS = 6;

interface Parts {
  faultLocks?: readonly FaultLockRegime[];
  mkwrites?: readonly MkwriteRegime[];
  bacikDefects?: number;
}

function is<T extends string>(word: string, names: readonly T[]): word is T {
  return names.some((name) => name === word);
}

/** Switches behind "bacik-v3:", as bits. */
function defectsOf(words: readonly string[], regime: string): number {
  let bits = 0;
  for (const word of words) {
    const n = /^D([1-6])$/.exec(word)?.[1];
    if (n !== undefined) bits |= 1 << (Number(n) - 1);
    else if (word !== "none" || words.length > 1) {
      throw new ParseError(`regime "${regime}": defect "${word}": expected D1 to D${DEFECTS}, or none alone`);
    }
  }
  return bits;
}

/** "*" is of the kind that its place says: before the "+" a fault lock, behind it an mkwrite. */
function star(parts: Parts, place: number): Parts {
  return place === 0 ? { ...parts, faultLocks: FAULT_LOCK_REGIMES } : { ...parts, mkwrites: MKWRITE_REGIMES };
}

function addPart(parts: Parts, word: string, place: number, regime: string): Parts {
  if (word === "*") return star(parts, place);
  const [name = "", ...switches] = word.split(":");
  const twice = (kind: string): never => {
    throw new ParseError(`regime "${regime}": two ${kind}s; a regime is one fault lock + one mkwrite`);
  };
  if (is(name, FAULT_LOCK_REGIMES)) {
    if (switches.length > 0) throw new ParseError(`regime "${regime}": ${name} has no switches`);
    return parts.faultLocks ? twice("fault lock") : { ...parts, faultLocks: [name] };
  }
  if (is(name, MKWRITE_REGIMES)) {
    if (parts.mkwrites) twice("mkwrite");
    if (switches.length === 0) return { ...parts, mkwrites: [name] };
    if (name !== "bacik-v3") throw new ParseError(`regime "${regime}": ${name} has no switches`);
    return { ...parts, mkwrites: [name], bacikDefects: defectsOf(switches, regime) };
  }
  const all = [...FAULT_LOCK_REGIMES, ...MKWRITE_REGIMES];
  const kinds = `fault lock: ${FAULT_LOCK_REGIMES.join(", ")}; mkwrite: ${MKWRITE_REGIMES.join(", ")}`;
  throw new ParseError(`regime "${regime}": unknown part "${name}".${suggestion(name, all)}\n${kinds}`);
}

function parseOne(text: string): Regime[] {
  const words = text.split("+").map((word) => word.trim());
  if (words.some((word) => word === "")) throw new ParseError(`regime "${text}": expected fault lock + mkwrite, such as linux-4.19+kara`);
  if (words.length > 2) throw new ParseError(`regime "${text}": expected two parts at most, found ${words.length}`);
  let parts: Parts = {};
  words.forEach((word, place) => (parts = addPart(parts, word, place, text)));
  const { faultLocks = [FAULT_LOCK_DEFAULT], mkwrites = [MKWRITE_DEFAULT], bacikDefects } = parts;
  return faultLocks.flatMap((faultLock) =>
    mkwrites.map((mkwrite): Regime => (bacikDefects === undefined ? { faultLock, mkwrite } : { faultLock, mkwrite, bacikDefects })),
  );
}

/** The regimes of a list, in its order, each once. Throws ParseError. */
export function parseRegimes(text: string): Regime[] {
  const regimes = new Map<string, Regime>();
  for (const part of text.split(",")) for (const regime of parseOne(part.trim())) regimes.set(regimeName(regime), regime);
  return [...regimes.values()];
}

/** The name of a regime, both parts written out. */
export function regimeName(r: Regime): string {
  return `${r.faultLock}+${r.mkwrite}${r.bacikDefects === undefined ? "" : `:${defectNames(r.bacikDefects)}`}`;
}

function defectNames(bits: number): string {
  const on = Array.from({ length: DEFECTS }, (_, i) => i + 1).filter((n) => (bits & (1 << (n - 1))) !== 0);
  return on.length === 0 ? "none" : on.map((n) => `D${n}`).join(":");
}

/** What a regime is in a machine's configuration. */
export function regimeConfig(r: Regime): Pick<MachineConfig, "faultLock" | "mkwrite" | "bacikDefects"> {
  return { ...r };
}

/** The regime of a configuration. */
export function regimeOf(config: MachineConfig): Regime {
  const regime: Regime = { faultLock: config.faultLock ?? FAULT_LOCK_DEFAULT, mkwrite: config.mkwrite ?? MKWRITE_DEFAULT };
  if (config.bacikDefects !== undefined) regime.bacikDefects = config.bacikDefects;
  return regime;
}

/** Whether page_mkwrite should be seen to run without the fault lock. With D1 on it never is: as in 2018, the check must find out. */
export function usesHelper(r: Regime): boolean {
  return r.mkwrite !== "generic_page_mkwrite";
}
