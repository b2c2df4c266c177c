// libwebrtc's peer connection with media in Node.js, commanded as the others are
// (`e2e/peers/media-peer.js`): one JSON object a line, commands in, reports out. It ends with its
// standard input.

import { createRequire } from 'node:module';
import { createInterface } from 'node:readline';

// It is installed beside the copy of this file that runs (`build.js`).
const { RTCPeerConnection, nonstandard } = createRequire(import.meta.url)('@roamhq/wrtc');
const { RTCAudioSink, RTCAudioSource, RTCVideoSink, RTCVideoSource } = nonstandard;

const [WIDTH, HEIGHT] = [320, 240];
const PICTURE_STEP = 40;
const SOUND_STEP = 10;
const RATE = 48_000;

/** @param {string} event @param {object} [rest] */
const report = (event, rest = {}) => void process.stdout.write(`${JSON.stringify({ event, ...rest })}\n`);

const connection = new RTCPeerConnection();
const counts = { audio: 0, video: 0 };
const [picture, sound] = [new RTCVideoSource(), new RTCAudioSource()];
/** Sinks end when they are collected. @type {unknown[]} */
const sinks = [];

connection.addEventListener('connectionstatechange', () => report('state', { state: connection.connectionState }));
connection.addEventListener('track', (/** @type {any} */ { track }) => {
  const kind = /** @type {'audio' | 'video'} */ (track.kind);
  const sink = kind === 'audio' ? new RTCAudioSink(track) : new RTCVideoSink(track);
  sink[kind === 'audio' ? 'ondata' : 'onframe'] = () => (counts[kind] += 1);
  sinks.push(sink);
});

function addTracks() {
  connection.addTrack(sound.createTrack());
  connection.addTrack(picture.createTrack());
  let number = 0;
  setInterval(() => {
    const data = new Uint8ClampedArray(WIDTH * HEIGHT * 1.5).fill(128);
    data.fill((number += 3) & 255, 0, WIDTH * HEIGHT);
    picture.onFrame({ width: WIDTH, height: HEIGHT, data });
  }, PICTURE_STEP);
  const samples = new Int16Array((RATE * SOUND_STEP) / 1000);
  setInterval(() => {
    sound.onData({ samples, sampleRate: RATE, bitsPerSample: 16, channelCount: 1, numberOfFrames: samples.length });
  }, SOUND_STEP);
}

async function describe() {
  await new Promise((resolve) => {
    const look = () => connection.iceGatheringState === 'complete' && resolve(undefined);
    connection.addEventListener('icegatheringstatechange', look);
    look();
  });
  const { type, sdp } = connection.localDescription;
  report('description', { type, sdp });
}

/** @param {any} command */
async function obey({ do: what, type, sdp }) {
  if (what === 'offer') {
    addTracks();
    await connection.setLocalDescription(await connection.createOffer());
    await describe();
  } else if (what === 'setRemote') {
    await connection.setRemoteDescription({ type, sdp });
    if (type !== 'offer') return;
    addTracks();
    await connection.setLocalDescription(await connection.createAnswer());
    await describe();
  } else if (what === 'count') report('counts', counts);
  else if (what === 'end') connection.close();
  else throw new Error(`there is no command ${what}`);
}

const lines = createInterface({ input: process.stdin });
lines.on('line', (line) => void obey(JSON.parse(line)).catch((error) => report('error', { message: String(error) })));
lines.on('close', () => process.exit());
