/*
 * The release build: asserts stay on, costly walks are left out.
 *
 * Interface: CHECKED, MUTANTS, EXPLORE: compile-time constants seen by every file.
 * Invariants: none.
 * Locks: none.
 * Why not runtime flags: what they guard sits on hot paths and vanishes when the constant is false.
 */
// @ts-ignore: decorator
@global const CHECKED: bool = false;
// @ts-ignore: decorator
@global const MUTANTS: bool = false;
// @ts-ignore: decorator
@global const EXPLORE: bool = false;
