// A reporter for `node --test`: the names of the tests that failed, a line each, with those of
// their suites before them.

/** A suite fails because of this if a test in it does. */
const BECAUSE_OF_A_TEST = 'subtestsFailed';

/** @param {AsyncIterable<{type: string, data: any}>} source */
export default async function* failedTests(source) {
  /** Failed tests by depth whose suite is not over yet. @type {string[][]} */
  const open = [];
  for await (const { type, data } of source) {
    if (type !== 'test:fail' && type !== 'test:pass') continue;
    const { name, nesting, details } = data;
    const inside = (open[nesting + 1] ?? []).map((test) => `${name} > ${test}`);
    open[nesting + 1] = [];
    const failed = type === 'test:fail' && details?.error?.failureType !== BECAUSE_OF_A_TEST ? [...inside, name] : inside;
    if (nesting === 0) yield* failed.map((test) => `${test}\n`);
    else (open[nesting] ??= []).push(...failed);
  }
}
