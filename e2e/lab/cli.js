#!/usr/bin/env node
// The laboratory by hand: builds a figure, says how to enter it, removes it on Ctrl-C.
//

import { parseArgs } from 'node:util';
import { labMissing } from './available.js';
import { figure1, figure2, figure3 } from './figures.js';
import { sweep } from './lab.js';
import { NAT_KINDS } from './nat.js';

const USAGE = `usage: cli.js up figure1|figure2|figure3 [--r1 KIND] [--r2 KIND] [--rc KIND] [--hairpin] [--preserve-ports]
       cli.js sweep
KIND: ${NAT_KINDS.join(', ')}`;

const missing = await labMissing();
if (missing) refuse(missing);
const { values, positionals } = parse();
const [command, figure] = positionals;
if (command === 'sweep') {
  for (const namespace of await sweep()) console.log(`removed ${namespace}`);
} else if (command === 'up') {
  await up(figure);
} else {
  refuse(USAGE);
}

function parse() {
  try {
    return parseArgs({
      allowPositionals: true,
      options: {
        r1: { type: 'string', default: 'port' },
        r2: { type: 'string', default: 'port' },
        rc: { type: 'string', default: 'symmetric' },
        hairpin: { type: 'boolean', default: false },
        'preserve-ports': { type: 'boolean', default: false },
      },
    });
  } catch (error) {
    return refuse(`${/** @type {Error} */ (error).message}\n${USAGE}`);
  }
}

/** @param {string} figure */
async function up(figure) {
  const [r1, r2, rc] = [values.r1, values.r2, values.rc].map((kind) => {
    const known = NAT_KINDS.find((one) => one === kind);
    if (!known) refuse(`no NAT kind ${kind}\n${USAGE}`);
    return { kind: known, hairpin: values.hairpin, preservePorts: values['preserve-ports'] };
  });
  const build = { figure1: () => figure1(), figure2: () => figure2({ r1 }), figure3: () => figure3({ r1, r2, rc }) };
  if (!Object.hasOwn(build, figure)) refuse(USAGE);
  const lab = await build[/** @type {keyof typeof build} */ (figure)]();
  for (const node of lab.nodes) console.log(`ip netns exec ${lab.namespace(node)} sh`.padEnd(48), `# ${node}`);
  console.log('Ctrl-C removes it all.');
  setInterval(() => {}, 1 << 30);
}

/** @param {string} why @returns {never} */
function refuse(why) {
  console.error(why);
  process.exit(2);
}
