// Writes the order of events in Chromium and Firefox, with what their pages see at each, into
// crates/columba/tests/orders: node e2e/record/orders.js

import { mkdirSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { launch } from '../browser/launch.js';
import { hostPages } from '../browser/pages/host.js';

const FOLDER = fileURLToPath(new URL('../../crates/columba/tests/orders/', import.meta.url));

/**
 * Runs in the page: two connections, whose descriptions are exchanged when they have all candidates,
 * so that there is one order of everything. Answers with the lines of each section and side.
 * @returns {Promise<Record<string, Record<string, string[]>>>}
 */
async function play() {
  /** @type {Record<string, Record<string, string[]>>} */
  const sections = {};
  /** @type {string} */
  let section;
  /** @type {Set<() => void>} */
  const waiting = new Set();
  const sides = { caller: side('caller'), callee: side('callee') };
  const { caller, callee } = sides;

  /** @param {'caller' | 'callee'} name */
  function side(name) {
    const connection = new RTCPeerConnection();
    /** @type {RTCDataChannel | undefined} */ let channel;
    /** @type {Set<unknown>} */ const known = new Set();

    /** What the page sees. */
    const look = () => {
      const sctp = connection.sctp;
      const ice = sctp?.transport.iceTransport;
      const states = [connection.signalingState, connection.iceGatheringState, connection.iceConnectionState, connection.connectionState];
      return [...states, ice?.gatheringState, ice?.state, sctp?.transport.state, sctp?.state, channel?.readyState].map((state) => state ?? '-').join(' ');
    };
    /** @param {string} what */
    const tell = (what) => {
      const lines = (sections[section][name] ??= []);
      const line = `${what} | ${look()}`;
      // How many candidates there are is up to the host.
      if (!(what === 'icecandidate' && lines.at(-1) === line)) lines.push(line);
      // Behind what else happens in this task.
      setTimeout(() => waiting.forEach((check) => check()));
    };
    /** Tells of the objects that are there now. */
    const attend = () => {
      const { sctp } = connection;
      if (sctp && !known.has(sctp)) {
        known.add(sctp);
        sctp.addEventListener('statechange', () => tell('sctp statechange'));
        sctp.transport.addEventListener('statechange', () => tell('dtls statechange'));
        const ice = sctp.transport.iceTransport;
        for (const kind of ['statechange', 'gatheringstatechange', 'selectedcandidatepairchange']) ice.addEventListener(kind, () => tell(`ice ${kind}`));
      }
    };
    /** @param {string} what @param {() => Promise<unknown>} operation */
    const chain = async (what, operation) => {
      tell(`${what} called`);
      await operation();
      attend();
      tell(`${what} resolved`);
    };
    for (const kind of /** @type {const} */ (['negotiationneeded', 'signalingstatechange', 'icegatheringstatechange', 'iceconnectionstatechange', 'connectionstatechange'])) {
      connection.addEventListener(kind, () => {
        attend();
        tell(kind);
      });
    }
    connection.addEventListener('icecandidate', ({ candidate }) => tell(candidate ? (candidate.candidate ? 'icecandidate' : 'icecandidate end') : 'icecandidate null'));
    connection.addEventListener('track', ({ track, streams }) => {
      tell(`track ${track.kind} ${streams.length}${track.muted ? ' muted' : ''}`);
      for (const kind of ['mute', 'unmute', 'ended']) track.addEventListener(kind, () => tell(`track ${kind}`));
      for (const stream of streams) stream.addEventListener('removetrack', () => tell('stream removetrack'));
    });
    /** @param {RTCDataChannel} one */
    const use = (one) => {
      channel = one;
      for (const kind of ['open', 'message', 'bufferedamountlow', 'error', 'closing', 'close']) one.addEventListener(kind, () => tell(`channel ${kind}`));
    };
    connection.addEventListener('datachannel', (event) => {
      use(event.channel);
      tell('datachannel');
    });
    return { connection, tell, chain, use, channel: () => /** @type {RTCDataChannel} */ (channel) };
  }

  /** @param {() => boolean | undefined} condition */
  async function until(condition) {
    for (;;) {
      if (condition()) return;
      await new Promise((resolve) => {
        const check = () => {
          waiting.delete(check);
          resolve(undefined);
        };
        waiting.add(check);
      });
    }
  }

  /** @param {'caller' | 'callee'} side @param {string} what */
  const told = (side, what) => sections[section][side]?.some((line) => line.startsWith(`${what} |`));

  /** @param {string} name */
  async function begin(name) {
    // Whatever the last section has queued.
    for (let turn = 0; turn < 20; turn += 1) await new Promise((resolve) => setTimeout(resolve, 10));
    section = name;
    sections[name] = {};
  }

  async function gathered(/** @type {RTCPeerConnection} */ connection) {
    await until(() => connection.iceGatheringState === 'complete');
  }

  /** @param {'caller' | 'callee'} from */
  async function negotiate(from) {
    const to = from === 'caller' ? 'callee' : 'caller';
    const [own, other] = [sides[from], sides[to]];
    await own.chain('setLocalDescription(offer)', () => own.connection.setLocalDescription());
    await gathered(own.connection);
    const offer = /** @type {RTCSessionDescription} */ (own.connection.localDescription);
    await other.chain('setRemoteDescription(offer)', () => other.connection.setRemoteDescription(offer));
    await other.chain('setLocalDescription(answer)', () => other.connection.setLocalDescription());
    await gathered(other.connection);
    const answer = /** @type {RTCSessionDescription} */ (other.connection.localDescription);
    await own.chain('setRemoteDescription(answer)', () => own.connection.setRemoteDescription(answer));
  }

  await begin('a channel is created, and connects');
  caller.use(caller.connection.createDataChannel('chat'));
  await until(() => told('caller', 'negotiationneeded'));
  await negotiate('caller');
  await until(() => told('caller', 'channel open') && told('callee', 'channel open'));
  await until(() => told('caller', 'connectionstatechange') && caller.connection.connectionState === 'connected' && callee.connection.connectionState === 'connected');

  await begin('messages');
  caller.channel().send('coo');
  caller.tell('send returned');
  await until(() => told('callee', 'channel message') && told('caller', 'channel bufferedamountlow'));

  await begin('ICE restarts');
  caller.connection.restartIce();
  await until(() => told('caller', 'negotiationneeded'));
  await negotiate('caller');
  caller.channel().send('coo');
  await until(() => told('callee', 'channel message'));

  await begin('an offer is taken back by both');
  const kept = caller.connection.addTransceiver('audio');
  await until(() => told('caller', 'negotiationneeded'));
  await caller.chain('setLocalDescription(offer)', () => caller.connection.setLocalDescription());
  await callee.chain('setRemoteDescription(offer)', () => callee.connection.setRemoteDescription(/** @type {RTCSessionDescription} */ (caller.connection.localDescription)));
  await callee.chain('setRemoteDescription(rollback)', () => callee.connection.setRemoteDescription({ type: 'rollback', sdp: '' }));
  await caller.chain('setLocalDescription(rollback)', () => caller.connection.setLocalDescription({ type: 'rollback' }));
  await until(() => sections[section].caller.filter((line) => line.startsWith('negotiationneeded |')).length === 2);

  await begin('a transceiver is added');
  kept.direction = 'sendrecv';
  await negotiate('caller');

  await begin('a transceiver stops');
  kept.stop();
  await until(() => told('caller', 'negotiationneeded'));
  await negotiate('caller');

  await begin('a channel closes');
  caller.channel().close();
  caller.tell('close returned');
  await until(() => told('callee', 'channel close') && told('caller', 'channel close'));

  await begin('a connection closes');
  caller.use(caller.connection.createDataChannel('another'));
  await until(() => told('caller', 'channel open') && told('callee', 'channel open'));
  await begin('a connection closes');
  caller.connection.close();
  caller.tell('close returned');
  await until(() => told('callee', 'channel close'));
  await begin('the end');
  delete sections['the end'];
  return sections;
}

mkdirSync(FOLDER, { recursive: true });
const pages = await hostPages();
for (const name of /** @type {const} */ (['chromium', 'firefox'])) {
  const running = await launch(name);
  const page = await running.browser.newPage();
  await page.goto(`${pages.origin}/blank.html`);
  const sections = await page.evaluate(play);
  const version = await running.browser.version();
  writeFileSync(`${FOLDER}${name}.json`, `${JSON.stringify({ version, sections }, undefined, 2)}\n`);
  console.log(`${name}: ${Object.keys(sections).length} sections`);
  await running.close();
}
pages.close();
