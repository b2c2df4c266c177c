// The table of docs/nat-matrix.md: printed from what a run has measured, kept true by comparing
// its routes.

import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

/**
 * @typedef {object} Row
 * @property {number} figure
 * @property {string} r1 what p1 is behind
 * @property {string} r2 what p2 is behind
 * @property {string} route
 * @property {string} p1 the selected candidate types as p1 has them: its own – the other's
 * @property {string} p2
 */

const FILE = fileURLToPath(new URL('../../docs/nat-matrix.md', import.meta.url));

const INTRODUCTION = `# Which pairs of NATs connect directly

Measured by \`e2e/tests/nat.test.js\` with Chromium and Firefox in network namespaces, the call page over HTTPS and
video both ways. The routes are asserted by every run; the candidate types (each peer's own – the other's) are those of the run that
wrote this page with \`UPDATE_DOCS=1\`, and may differ between \`srflx\` and \`prflx\` with the timing.

The kinds of NAT, in the words of RFC 4787:

| kind | mapping | filtering |
|---|---|---|
| cone | endpoint-independent | endpoint-independent |
| addr | endpoint-independent | address-dependent |
| port | endpoint-independent | address-and-port-dependent |
| symmetric | address-and-port-dependent, random ports | address-and-port-dependent |
| tcp443 | UDP is blocked | TCP to port 443 passes, all else times out |

Figure 1 is one private network, figure 2 has p1 behind a router and p2 at a public address, and in figure 3 each peer is behind a router of its own.

`;

/**
 * Prints what was measured, and compares it with the page, or writes the page.
 * @param {Row[]} rows
 */
export function keepMatrix(rows) {
  const head = ['figure', 'p1 behind', 'p2 behind', 'route', 'p1: own – other', 'p2: own – other'];
  const cells = rows.map(({ figure, r1, r2, route, p1, p2 }) => [String(figure), r1, r2, route, p1, p2]);
  const line = (/** @type {string[]} */ texts) => `| ${texts.join(' | ')} |\n`;
  const table = line(head) + line(head.map(() => '---')) + cells.map(line).join('');
  console.log(`\n${table}`);
  if (process.env.UPDATE_DOCS) writeFileSync(FILE, INTRODUCTION + table);
  const kept = readFileSync(FILE, 'utf8')
    .split('\n')
    .filter((text) => /^\| \d /.test(text))
    .map((text) => text.split('|').slice(1, 5).map((cell) => cell.trim()));
  assert.deepEqual(kept, cells.map((row) => row.slice(0, 4)), 'UPDATE_DOCS=1 writes docs/nat-matrix.md anew');
}
