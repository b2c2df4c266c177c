/**
 * Columba in the browser: find another peer, and talk to it directly.
 *
 * ```js
 * import { Call, SignalingChannel } from 'columba';
 *
 * const channel = new SignalingChannel(token);
 * const call = new Call(channel, { stream: await navigator.mediaDevices.getUserMedia({ audio: true, video: true }) });
 * call.addEventListener('stream', ({ peer, stream }) => { videoFor(peer.id).srcObject = stream; });
 * call.addEventListener('chat', ({ peer, text }) => { show(peer.name, text); });
 * ```
 *
 * @module
 */
export { SignalingChannel } from './signaling-channel.js';
export {
  PeerEvent,
  SignalingCloseEvent,
  SignalingErrorEvent,
  SignalingMessageEvent,
  SignalingStateEvent,
  senderOf,
} from './signaling/events.js';
