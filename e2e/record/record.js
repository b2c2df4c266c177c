// Writes the descriptions of other implementations in crates/peer/tests/corpus anew, as far as
// their programs are installed: node e2e/record/record.js
//
// Each answers the offer of our own peer, which is recorded first.
//
// aiortc: a Python with it in AIORTC_PYTHON (default python3); GStreamer: Debian's
// python3-gst-1.0, gir1.2-gst-plugins-bad-1.0, gstreamer1.0-nice and the plugins good and bad;
// Janus: Debian's janus; Pion: go.

import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { columba } from '../peers/data-peer.js';

/** @param {string} path */
const at = (path) => fileURLToPath(new URL(path, import.meta.url));
const CORPUS = at('../../crates/peer/tests/corpus');
const OFFER = at('../../crates/sdp/tests/data/chromium-av-offer.sdp');
/** The URL at which Janus says that it is there. */
const JANUS = 'http://127.0.0.1:8088/janus/info';
/** Milliseconds that Janus may take to begin. */
const BEGINNING = 20_000;

/** The offer that the others answer. */
const OWN = `${CORPUS}/columba-av-offer.sdp`;

/** Records our offer of audio, video and data. */
async function recordOwn() {
  const peer = columba();
  peer.command({ do: 'media', kinds: ['audio', 'video'] });
  peer.command({ do: 'open', label: 'data' });
  peer.command({ do: 'offer' });
  const { sdp } = await peer.until('description');
  writeFileSync(OWN, sdp);
  await peer.end();
}

/**
 * @param {string} name
 * @param {string} command
 * @param {string[]} words
 * @param {object} [options]
 */
function record(name, command, words, options = {}) {
  const { status, error } = spawnSync(command, words, { stdio: 'inherit', ...options });
  console.log(`${name}: ${status === 0 ? 'recorded' : `not recorded (${error?.message ?? `exit code ${status}`})`}`);
}

await recordOwn();
record('aiortc', process.env.AIORTC_PYTHON ?? 'python3', [at('aiortc_descriptions.py'), CORPUS, OWN]);
record('GStreamer', '/usr/bin/python3', [at('gstreamer_descriptions.py'), CORPUS, OWN]);
record('libdatachannel', process.execPath, [at('libdatachannel-descriptions.js'), CORPUS, OWN]);
record('Pion', 'go', ['run', '.', CORPUS, OWN], { cwd: at('pion') });

const janus = spawn('janus', [], { stdio: 'ignore' });
const failed = once(janus, 'error').then(([error]) => error);
const end = Date.now() + BEGINNING;
const begun = (async () => {
  while (Date.now() < end) {
    if (await fetch(JANUS).then(({ ok }) => ok, () => false)) return undefined;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  return new Error('it does not answer');
})();
const error = await Promise.race([failed, begun]);
if (error) console.log(`Janus: not recorded (${error.message})`);
else record('Janus', 'python3', [at('janus_descriptions.py'), CORPUS, OFFER, OWN]);
janus.kill();

// Nothing of this machine.
for (const name of readdirSync(CORPUS).filter((name) => name.endsWith('.sdp'))) {
  const path = `${CORPUS}/${name}`;
  const text = readFileSync(path, 'utf8');
  const clean = text.replace(/@[A-Za-z0-9.-]+(?=\r?\n)/g, '@host').replace(/\bfe80::[0-9a-f:]+/gi, 'fe80::1');
  if (clean !== text) writeFileSync(path, clean);
}
