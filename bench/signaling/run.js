// Our signaling server beside PeerJS's, in one run: memory of an idle connection, messages for each
// second of processor time, and delay. The figures are printed as a table.
//
//   node run.js PROGRAM [IDLE CONNECTIONS]

import { columba, peerjs } from './servers.js';
import { waiting } from './waiting.js';

const [program, idle = '10000'] = process.argv.slice(2);
const IDLE = Number(idle);

/** Connections that are opened at the same time. */
const AT_ONCE = 50;

/** Pairs that talk, and messages under way from one to the other. */
const PAIRS = 16;
const UNDER_WAY = 32;

/** The sizes of payloads in bytes: a candidate, and a long description. */
const SIZES = { small: 200, large: 16_000 };

/** The time of one measurement in milliseconds. */
const TIME = 5000;

/** Messages a second while the delay is measured. */
const CALM = 200;

const pause = (/** @type {number} */ time) => new Promise((resolve) => setTimeout(resolve, time));

/**
 * Opens connections, and more once some are there already: the growth of the process for each of
 * the latter. `several` gives the connections that it opened at once.
 */
async function growth(server, several) {
  const open = async (count) => {
    const all = [];
    while (all.length < count) {
      const wanted = Math.min(AT_ONCE, count - all.length);
      all.push(...await several(wanted));
    }
    return all;
  };
  const first = await open(100);
  await pause(1000);
  const before = server.resident();
  const rest = await open(IDLE);
  await pause(1000);
  return { each: (server.resident() - before) / IDLE, connections: [...first, ...rest] };
}

const times = (count, make) => Promise.all(Array.from({ length: count }, make));

/** The memory of idle members, and the share of a core that they take. */
async function memory(kind, server) {
  const pairs = async (count) => (await times(count / 2, () => kind.pair(server))).flat();
  const { each, connections } = await growth(server, pairs);
  const began = server.processorTime();
  await pause(TIME);
  const load = (server.processorTime() - began) / (TIME / 1000);
  for (const { socket } of connections) socket.terminate();
  await pause(2000);
  return { each, load };
}

/** The memory of those who wait in another way than by a WebSocket. */
async function memoryOf(way, server) {
  const { each, connections } = await growth(server, (count) => times(count, () => way.open(server)));
  const gone = connections.filter(({ destroyed }) => destroyed).length;
  if (gone > 0) throw new Error(`${gone} connections did not stay`);
  connections.forEach((socket) => socket.destroy());
  return each;
}

/** Messages for each second of processor time, with as many under way as the server takes. */
async function throughput(kind, server, size) {
  const payload = 'x'.repeat(size);
  let count = 0;
  let going = true;
  const sockets = [];
  for (let at = 0; at < PAIRS; at++) {
    const [from, to] = await kind.pair(server);
    sockets.push(from.socket, to.socket);
    to.socket.on('message', (data) => {
      if (kind.receive(to, data.toString()) === null) return;
      count += 1;
      if (going) kind.send(from, to, payload);
    });
    for (let message = 0; message < UNDER_WAY; message++) kind.send(from, to, payload);
  }
  await pause(1000);
  const [began, before] = [server.processorTime(), count];
  await pause(TIME);
  const [used, messages] = [server.processorTime() - began, count - before];
  going = false;
  await pause(200);
  sockets.forEach((socket) => socket.terminate());
  await pause(500);
  return messages / used;
}

/** The delays of single messages in milliseconds: the median, and that of one in a hundred. */
async function delay(kind, server) {
  const [from, to] = await kind.pair(server);
  const delays = [];
  const padding = 'x'.repeat(SIZES.small);
  to.socket.on('message', (data) => {
    const text = kind.receive(to, data.toString());
    const sent = text && /at:([\d.]+):/.exec(text);
    if (sent) delays.push(performance.now() - Number(sent[1]));
  });
  for (let at = 0; at < (CALM * TIME) / 1000; at++) {
    kind.send(from, to, `at:${performance.now()}:${padding}`);
    await pause(1000 / CALM);
  }
  await pause(500);
  from.socket.terminate();
  to.socket.terminate();
  delays.sort((a, b) => a - b);
  const of = (share) => delays[Math.min(delays.length - 1, Math.floor(delays.length * share))];
  return { median: of(0.5), late: of(0.99) };
}

const rows = [];
for (const kind of [columba, peerjs]) {
  const server = await kind.start(program);
  try {
    const { each, load } = await memory(kind, server);
    const small = await throughput(kind, server, SIZES.small);
    const large = await throughput(kind, server, SIZES.large);
    const { median, late } = await delay(kind, server);
    rows.push({ name: kind.name, each, load, small, large, median, late });
  } finally {
    await server.stop();
  }
}
const cells = (row) => [
  row.name,
  `${(row.each / 1000).toFixed(1)} kB`,
  `${(row.load * 100).toFixed(1)} %`,
  Math.round(row.small).toLocaleString('en'),
  Math.round(row.large).toLocaleString('en'),
  `${row.median.toFixed(2)} ms`,
  `${row.late.toFixed(2)} ms`,
];
const titles = ['server', 'idle connection', `CPU with ${IDLE} idle`, `${SIZES.small} B messages / CPU s`,
  `${SIZES.large} B messages / CPU s`, 'delay p50', 'delay p99'];
const table = [titles, titles.map(() => '---'), ...rows.map(cells)];
for (const row of table) console.log(`| ${row.join(' | ')} |`);
const [ours, theirs] = rows;
const ratio = (a, b) => `${(a / b).toFixed(1)} x`;

console.log(`\n| ${IDLE} that wait at columba by | memory of each |\n| --- | --- |`);
for (const way of waiting) {
  const server = await columba.start(program);
  try {
    console.log(`| ${way.name} | ${((await memoryOf(way, server)) / 1000).toFixed(1)} kB |`);
  } finally {
    await server.stop();
  }
}
console.log(`\nours to theirs: memory ${ratio(ours.each, theirs.each)} (goal 0.5), small messages ` +
  `${ratio(ours.small, theirs.small)} (goal 2), large messages ${ratio(ours.large, theirs.large)} (goal 2)`);
process.exit(0);
