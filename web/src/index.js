/**
 * Columba in the browser: find another peer, and talk to it directly.
 *
 * ```js
 * import { Call } from 'columba';
 *
 * const stream = await navigator.mediaDevices.getUserMedia({ audio: true, video: true });
 * const call = new Call(token, { stream });
 * call.addEventListener('stream', ({ peer, stream }) => { videoFor(peer.id).srcObject = stream; });
 * call.addEventListener('chat', ({ peer, text }) => { show(peer.name, text); });
 * await call.join();
 * ```
 *
 * @module
 */
export { Call } from './call.js';
export { closeChannels } from './call/close-channels.js';
export {
  CallChannelEvent,
  CallChatEvent,
  CallConnectedEvent,
  CallErrorEvent,
  CallPeerEvent,
  CallSignalEvent,
  CallStateEvent,
  CallTrackEvent,
} from './call/events.js';
export { CallPeer } from './call/peer.js';
export { SignalingChannel } from './signaling-channel.js';
export {
  PeerEvent,
  SignalingCloseEvent,
  SignalingErrorEvent,
  SignalingMessageEvent,
  SignalingStateEvent,
  senderOf,
} from './signaling/events.js';
