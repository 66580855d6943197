/*
 * The explorer's build: schedules are explored (EXPLORE), and one of the mutants may be put into the kernel (MUTANTS).
 *
 * Interface: CHECKED, MUTANTS, EXPLORE: compile-time constants seen by every file.
 * Invariants: [flags-1] with no mutant selected and the default policy it does what the release build does.
 * Locks: none.
 * Why not the release build: what a mutant asks for, and what an explorer notes, would cost the healthy kernel's fault path.
 */
// @ts-ignore: decorator
@global const CHECKED: bool = false;
// @ts-ignore: decorator
@global const MUTANTS: bool = true;
// @ts-ignore: decorator
@global const EXPLORE: bool = true;
