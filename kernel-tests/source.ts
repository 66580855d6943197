/*
 * The project's source as data, for tidy.test.ts: files, imports, functions, asserts, comments; and the sections of a wasm.
 *
 * Interface: sources, roomOf, importsOf, functionsOf, topLevelStates, headOf, commentsOf, wasmMutableGlobals, ROOT.
 * Invariants: [src-1] AssemblyScript is parsed as TypeScript, which its decorators do not prevent; nothing is compiled.
 */
import { readFileSync, readdirSync, statSync } from "node:fs";
import { join, normalize, posix } from "node:path";
import { fileURLToPath } from "node:url";
import ts from "typescript";

export const ROOT = fileURLToPath(new URL("..", import.meta.url));

export interface Source {
  /** From the root of the project, with slashes. */
  path: string;
  text: string;
  ast: ts.SourceFile;
}

export interface SourceFunction {
  name: string;
  path: string;
  lines: number;
  asserts: number;
}

function walk(folder: string, found: string[]): string[] {
  for (const name of readdirSync(join(ROOT, folder)).sort()) {
    const path = posix.join(folder, name);
    if (statSync(join(ROOT, path)).isDirectory()) walk(path, found);
    else found.push(path);
  }
  return found;
}

/** Files below a folder, sorted. */
export function filesBelow(folder: string): string[] {
  return walk(folder, []);
}

/** All TypeScript and AssemblyScript below a folder. */
export function sources(folder: string): Source[] {
  return filesBelow(folder)
    .filter((path) => /\.tsx?$/.test(path))
    .map((path) => {
      const text = readFileSync(join(ROOT, path), "utf8");
      return { path, text, ast: ts.createSourceFile(path, text, ts.ScriptTarget.ES2022, true) };
    });
}

/** The folder below assembly/ or src/ that a file lies in; "" for a file beside the rooms. */
export function roomOf(path: string): string {
  const parts = path.split("/");
  return parts.length > 2 ? (parts[1] ?? "") : "";
}

/** What a file imports or re-exports: files of the project from the root without extension, packages by name. */
export function importsOf(source: Source): string[] {
  const specifiers = source.ast.statements.flatMap((statement) => {
    const from = ts.isImportDeclaration(statement) || ts.isExportDeclaration(statement) ? statement.moduleSpecifier : undefined;
    return from && ts.isStringLiteral(from) ? [from.text] : [];
  });
  const folder = posix.dirname(source.path);
  return specifiers.map((name) => (name.startsWith(".") ? posix.join(folder, name).replace(/\.(js|ts|tsx)$/, "") : name));
}

function visit(node: ts.Node, each: (node: ts.Node) => void): void {
  each(node);
  ts.forEachChild(node, (child) => visit(child, each));
}

/** Lines of code: those that hold nothing but a comment do not count. */
function linesOf(ast: ts.SourceFile, node: ts.Node): number {
  const lines = node.getText(ast).split("\n");
  return lines.filter((line) => !/^\s*(\/\/|\/\*|\*)/.test(line)).length;
}

function isAssert(node: ts.Node): boolean {
  return ts.isCallExpression(node) && ts.isIdentifier(node.expression) && node.expression.text === "assert";
}

/** Functions and methods with a body, getters and arrow functions apart. */
export function functionsOf(source: Source): SourceFunction[] {
  const found: SourceFunction[] = [];
  visit(source.ast, (node) => {
    if (!(ts.isFunctionDeclaration(node) || ts.isMethodDeclaration(node)) || !node.body) return;
    let asserts = 0;
    visit(node.body, (inner) => {
      if (isAssert(inner)) asserts++;
    });
    found.push({ name: node.name?.getText(source.ast) ?? "", path: source.path, lines: linesOf(source.ast, node), asserts });
  });
  return found;
}

/** The texts of asserts, and whatever else is a string literal. */
export function stringsOf(source: Source): string[] {
  const found: string[] = [];
  visit(source.ast, (node) => {
    if (ts.isStringLiteral(node) || ts.isNoSubstitutionTemplateLiteral(node)) found.push(node.text);
  });
  return found;
}

/** State that a copy of linear memory would not hold: module-level variables, managed objects, the runtime's heap. */
export function statesOutsideMemory(source: Source): string[] {
  const found: string[] = [];
  const note = (node: ts.Node, what: string): void => {
    const line = source.ast.getLineAndCharacterOfPosition(node.getStart(source.ast)).line + 1;
    found.push(`${source.path}:${line} ${what}`);
  };
  for (const statement of source.ast.statements) {
    const isConst = ts.isVariableStatement(statement) && (statement.declarationList.flags & ts.NodeFlags.Const) !== 0;
    if (ts.isVariableStatement(statement) && !isConst) note(statement, "a module-level variable");
  }
  visit(source.ast, (node) => {
    if (ts.isNewExpression(node)) note(node, "new");
    if (ts.isArrayLiteralExpression(node) || ts.isObjectLiteralExpression(node)) note(node, "a managed literal");
    if (ts.isArrowFunction(node) || ts.isFunctionExpression(node)) note(node, "a function expression");
    if (ts.isTemplateExpression(node)) note(node, "a string made at run time");
    if (ts.isPropertyAccessExpression(node) && node.expression.getText(source.ast) === "heap") note(node, "the runtime's heap");
    if (ts.isClassDeclaration(node) && !isUnmanaged(node)) note(node, "a managed class");
  });
  return found;
}

/** A class without fields is a namespace of functions and needs no decorator. */
function isUnmanaged(node: ts.ClassDeclaration): boolean {
  const decorators = ts.canHaveDecorators(node) ? (ts.getDecorators(node) ?? []) : [];
  if (decorators.some((d) => d.expression.getText() === "unmanaged")) return true;
  return !node.members.some((member) => ts.isPropertyDeclaration(member));
}

/** The block comment that opens the file; "" when something stands before it. */
export function headOf(source: Source): string {
  return /^(?:#![^\n]*\n)?\/\*[\s\S]*?\*\//.exec(source.text)?.[0] ?? "";
}

export function commentsOf(source: Source): string[] {
  return source.text.match(/\/\*[\s\S]*?\*\/|(?<![:"'`])\/\/[^\n]*/g) ?? [];
}

/** Whether a path that a comment or a document names is there: from the root, a room's folder, or the naming file's own. */
export function isFile(path: string, namedIn: string, known: ReadonlySet<string>): boolean {
  const folders = ["", "assembly", "src", "kernel-tests"];
  for (let folder = posix.dirname(namedIn); folder !== "."; folder = posix.dirname(folder)) folders.push(folder);
  return folders.some((folder) => known.has(normalize(posix.join(folder, path))));
}

/** Numbers of wasm are LEB128: the value, and where the next one begins. */
function leb(bytes: Uint8Array, from: number): [value: number, next: number] {
  let [value, shift, at] = [0, 0, from];
  for (;;) {
    const byte = bytes[at++] ?? 0;
    value += (byte & 0x7f) * 2 ** shift;
    shift += 7;
    if ((byte & 0x80) === 0) return [value, at];
  }
}

const SECTION_GLOBAL = 6;
const OP_END = 0x0b;
const OP_I32_CONST = 0x41;
const OP_I64_CONST = 0x42;

/** How many mutable globals a module has: state that a copy of its memory does not hold. */
export function wasmMutableGlobals(bytes: Uint8Array): number {
  for (let at = 8; at < bytes.length;) {
    const id = bytes[at];
    const [size, start] = leb(bytes, at + 1);
    at = start + size;
    if (id === SECTION_GLOBAL) return mutableIn(bytes, start);
  }
  return 0;
}

function mutableIn(bytes: Uint8Array, start: number): number {
  let [count, at] = leb(bytes, start);
  let mutable = 0;
  for (; count > 0; count--) {
    if (bytes[at + 1] === 1) mutable++;
    const op = bytes[at + 2];
    if (op === OP_I32_CONST || op === OP_I64_CONST) [, at] = leb(bytes, at + 3);
    else at += op === 0x43 ? 7 : 11;
    if (bytes[at++] !== OP_END) throw new Error("a global's initial value is a constant");
  }
  return mutable;
}
