// Writes the offers of libdatachannel (audio, video and data; data alone), and its answer to an
// offer of ours.

import { readFileSync, writeFileSync } from 'node:fs';
import { Audio, cleanup, PeerConnection, Video } from 'node-datachannel';

/** @param {boolean} media */
async function offer(media) {
  const connection = new PeerConnection('recorder', { iceServers: [] });
  const gathered = new Promise((resolve) => connection.onGatheringStateChange((state) => state === 'complete' && resolve(undefined)));
  const kept = [];
  if (media) {
    const audio = new Audio('audio', 'SendRecv');
    audio.addOpusCodec(111);
    audio.addSSRC(42, 'columba', 'stream', 'audio');
    const video = new Video('video', 'SendRecv');
    video.addVP8Codec(96);
    video.addH264Codec(102);
    video.addSSRC(43, 'columba', 'stream', 'video');
    kept.push(connection.addTrack(audio), connection.addTrack(video));
  }
  kept.push(connection.createDataChannel('data'));
  connection.setLocalDescription();
  await gathered;
  const description = connection.localDescription();
  connection.close();
  return description?.sdp ?? '';
}

/** @param {string} offer */
async function answer(offer) {
  const connection = new PeerConnection('recorder', { iceServers: [] });
  const gathered = new Promise((resolve) => connection.onGatheringStateChange((state) => state === 'complete' && resolve(undefined)));
  connection.setRemoteDescription(offer, 'offer');
  await gathered;
  const description = connection.localDescription();
  connection.close();
  return description?.sdp ?? '';
}

for (const [name, media] of /** @type {const} */ ([['av', true], ['data', false]])) {
  writeFileSync(`${process.argv[2]}/libdatachannel-${name}-offer.sdp`, await offer(media));
}
writeFileSync(`${process.argv[2]}/libdatachannel-av-answer-to-columba.sdp`, await answer(readFileSync(process.argv[3], 'utf8')));
cleanup();
