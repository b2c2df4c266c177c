// Closing many data channels at once.

/**
 * Channels that are closed at a time. Chromium puts all closings that wait into one request, drops
 * a request for 579 or more, and then closes no channel of that connection any more
 * (docs/known-failures.md); the other side's closings may wait in the same request.
 */
const AT_A_TIME = 500;

/**
 * Closes data channels of one connection, so many at a time that Chromium can, and resolves when
 * all are closed. Those of several connections may be given, too.
 *
 * @param {Iterable<RTCDataChannel>} channels
 */
export async function closeChannels(channels) {
  const waiting = [...channels].filter(({ readyState }) => readyState !== 'closed');
  while (waiting.length > 0) await Promise.all(waiting.splice(0, AT_A_TIME).map(closed));
}

/** @param {RTCDataChannel} channel @returns {Promise<void>} */
function closed(channel) {
  return new Promise((resolve) => {
    channel.addEventListener('close', () => resolve(), { once: true });
    channel.close();
    if (channel.readyState === 'closed') resolve();
  });
}
