// Timeouts of all tests. Only what never comes takes so long: a machine that is slow and
// busy besides is still far below.

/** Milliseconds that one step may take. */
export const STEP_TIMEOUT = 60_000;

/** Milliseconds that the tests of one `describe` may take together. */
export const SUITE_TIMEOUT = 1_800_000;
