/*
 * The checked build: costly walks run as well.
 *
 * Interface: CHECKED, MUTANTS, EXPLORE: compile-time constants seen by every file.
 * Invariants: none.
 * Locks: none.
 * Why not runtime flags: what they guard sits on hot paths and vanishes when the constant is false.
 */
// @ts-ignore: decorator
@global const CHECKED: bool = true;
// @ts-ignore: decorator
@global const MUTANTS: bool = false;
// @ts-ignore: decorator
@global const EXPLORE: bool = false;
