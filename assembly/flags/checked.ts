/*
 * The checked build: costly walks run as well.
 *
 * Interface: CHECKED, a compile-time constant seen by every file.
 * Invariants: none.
 * Locks: none.
 * Why not a runtime flag: the walks sit on hot paths and vanish when the constant is false.
 */
// @ts-ignore: decorator
@global const CHECKED: bool = true;
