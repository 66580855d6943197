/*
 * Lint: typed, strict rules for the TypeScript half (src/, kernel-tests/), untyped ones for the AssemblyScript half
 * (assembly/, kernel-tests/harness/), which no TypeScript program can type.
 *
 * Formatting of the TypeScript half is Prettier's. The AssemblyScript half is not given to Prettier: assemblyscript-prettier 3.0.4
 * adds one more blank line before a decorated member each time it runs, so that no file is ever in its format; and it takes the
 * lines of a struct apart that draw its layout. The rules for spacing below hold there instead.
 */
import { defineConfig, globalIgnores } from "eslint/config";
import tseslint from "typescript-eslint";

const ASSEMBLYSCRIPT = ["assembly/**/*.ts", "kernel-tests/harness/**/*.ts"];
const TYPESCRIPT = ["src/**/*.{ts,tsx}", "kernel-tests/**/*.{ts,tsx}", "*.config.ts"];
const TESTS = ["kernel-tests/**/*.{ts,tsx}"];

/** House limits: files below 500 lines, functions below 70, lines up to 140 columns. */
const limits = {
  "max-len": ["error", { code: 140, ignoreUrls: true }],
  "max-lines": ["error", { max: 500 }],
  "max-lines-per-function": ["error", { max: 70, skipComments: true }],
  "max-depth": ["error", 4],
};

/** Core rules that need no types and hold in both languages. */
const core = {
  curly: ["error", "multi-line"],
  "for-direction": "error",
  "no-cond-assign": "error",
  "no-constant-binary-expression": "error",
  "no-debugger": "error",
  "no-dupe-else-if": "error",
  "no-duplicate-case": "error",
  "no-empty": "error",
  "no-fallthrough": ["error", { allowEmptyCase: true }],
  "no-irregular-whitespace": "error",
  "no-self-assign": "error",
  "no-self-compare": "error",
  "no-sparse-arrays": "error",
  "no-unreachable": "error",
  "no-unsafe-finally": "error",
  "no-unused-labels": "error",
  "no-useless-return": "error",
  "no-var": "error",
  "no-warning-comments": ["error", { terms: ["todo", "fixme", "xxx"], location: "start" }],
};

export default defineConfig([
  globalIgnores(["build/", "node_modules/", "coverage/"]),
  { linterOptions: { reportUnusedDisableDirectives: "error" } },
  {
    files: ASSEMBLYSCRIPT,
    languageOptions: { parser: tseslint.parser, parserOptions: { allowInvalidAST: true } },
    plugins: { "@typescript-eslint": tseslint.plugin },
    rules: {
      ...core,
      ...limits,
      "array-bracket-spacing": "error",
      "arrow-spacing": "error",
      "block-spacing": "error",
      "brace-style": ["error", "1tbs", { allowSingleLine: true }],
      "comma-spacing": "error",
      "computed-property-spacing": "error",
      "eol-last": "error",
      indent: ["error", 2, { SwitchCase: 1, ignoreComments: true }],
      "keyword-spacing": "error",
      "no-mixed-spaces-and-tabs": "error",
      "no-multi-spaces": ["error", { ignoreEOLComments: true }],
      "no-multiple-empty-lines": ["error", { max: 1, maxBOF: 0, maxEOF: 0 }],
      "no-tabs": "error",
      "no-trailing-spaces": "error",
      "no-whitespace-before-property": "error",
      "object-curly-spacing": ["error", "always"],
      quotes: ["error", "double"],
      semi: ["error", "always"],
      "semi-spacing": "error",
      "space-before-blocks": "error",
      "space-before-function-paren": ["error", { anonymous: "never", named: "never", asyncArrow: "always" }],
      "space-in-parens": "error",
      "spaced-comment": ["error", "always"],
      "@typescript-eslint/no-duplicate-enum-values": "error",
      // The functions of an operation table all take the table's arguments, needed or not.
      "@typescript-eslint/no-unused-vars": ["error", { args: "none" }],
    },
  },
  // The loop of an interpreter is one function, a line or two an instruction: cut up, its state leaves the host's registers.
  { files: ["assembly/cpu/rv64/run.ts"], rules: { "max-lines-per-function": "off" } },
  // A flag is a global of the compiler's: other files see it without an import.
  { files: ["assembly/flags/*.ts"], rules: { "@typescript-eslint/no-unused-vars": "off" } },
  {
    files: TYPESCRIPT,
    ignores: ASSEMBLYSCRIPT,
    extends: [tseslint.configs.strictTypeChecked, tseslint.configs.stylisticTypeChecked],
    languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname } },
    rules: {
      ...core,
      ...limits,
      eqeqeq: "error",
      "@typescript-eslint/dot-notation": "off",
      "@typescript-eslint/consistent-type-imports": ["error", { fixStyle: "inline-type-imports" }],
      "@typescript-eslint/no-confusing-void-expression": ["error", { ignoreArrowShorthand: true }],
      "@typescript-eslint/restrict-template-expressions": ["error", { allowNumber: true, allowBoolean: true }],
    },
  },
  {
    // A describe() is a list of tests; an index that a test has just checked needs no second check.
    files: TESTS,
    ignores: ASSEMBLYSCRIPT,
    rules: {
      "max-lines-per-function": "off",
      "@typescript-eslint/no-empty-function": "off",
      "@typescript-eslint/no-non-null-assertion": "off",
    },
  },
]);
