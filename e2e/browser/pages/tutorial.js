// A call as the introductions to WebRTC write it: nothing but a signaling channel and the
// browser's own RTCPeerConnection. The page with ?role=caller calls, the other one
// answers.

import { SignalingChannel } from '/columba/index.js';

const query = new URLSearchParams(location.search);
const signalingChannel = new SignalingChannel(query.get('remote'), {
  url: query.get('signal') ?? undefined,
  clientId: query.get('own') ?? undefined,
});
const configuration = { iceServers: [{ urls: query.get('stun') }] };
const peerConnection = new RTCPeerConnection(configuration);

// Our own picture and sound go to the other side.
const localStream = await navigator.mediaDevices.getUserMedia({ video: true, audio: true });
byId('local').srcObject = localStream;
for (const track of localStream.getTracks()) peerConnection.addTrack(track, localStream);

// Theirs are shown when they come.
peerConnection.addEventListener('track', ({ streams: [remoteStream] }) => {
  byId('remote').srcObject = remoteStream;
});

// Each way to reach us is told as soon as it is found, and each of theirs is tried as soon as it
// is heard of.
peerConnection.addEventListener('icecandidate', (event) => {
  if (event.candidate) signalingChannel.send({ 'new-ice-candidate': event.candidate });
});
signalingChannel.addEventListener('message', async (message) => {
  if (message.iceCandidate) await peerConnection.addIceCandidate(message.iceCandidate);
});

peerConnection.addEventListener('connectionstatechange', () => {
  document.body.dataset.connection = peerConnection.connectionState;
});

if (query.get('role') === 'caller') await makeCall();
else answerCalls();

async function makeCall() {
  useDataChannel(peerConnection.createDataChannel('chat'));
  signalingChannel.addEventListener('message', async (message) => {
    if (message.answer) await peerConnection.setRemoteDescription(new RTCSessionDescription(message.answer));
  });
  const offer = await peerConnection.createOffer();
  await peerConnection.setLocalDescription(offer);
  signalingChannel.send({ offer });
}

function answerCalls() {
  peerConnection.addEventListener('datachannel', (event) => useDataChannel(event.channel));
  signalingChannel.addEventListener('message', async (message) => {
    if (message.offer) {
      peerConnection.setRemoteDescription(new RTCSessionDescription(message.offer));
      const answer = await peerConnection.createAnswer();
      await peerConnection.setLocalDescription(answer);
      signalingChannel.send({ answer });
    }
  });
}

/** @param {RTCDataChannel} channel */
function useDataChannel(channel) {
  channel.addEventListener('open', () => {
    byId('send').disabled = false;
  });
  channel.addEventListener('message', ({ data }) => {
    const item = document.createElement('li');
    item.textContent = data;
    byId('messages').append(item);
  });
  byId('send').addEventListener('click', () => channel.send(byId('text').value));
}

/** @param {string} id @returns {any} */
function byId(id) {
  return document.getElementById(id);
}
