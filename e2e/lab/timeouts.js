// Timeouts of all tests. Only what never comes takes so long: a machine that is slow and
// busy besides is still far below.

/** Milliseconds that one step may take. */
export const PATIENCE = 60_000;

/** Milliseconds that the tests of one `describe` may take together. */
export const PATIENCE_FOR_ALL = 600_000;
