/**
 * The way that packets take to a peer.
 *
 * @typedef {object} Route
 * @property {'direct' | 'relayed'} kind whether a TURN server carries them
 * @property {string} local the type of the own candidate: `host`, `srflx`, `prflx` or `relay`
 * @property {string} remote the type of the peer's candidate
 * @property {string} protocol `udp` or `tcp`; if relayed, the one towards the own TURN server
 */

/**
 * Reads the selected candidate pair from the statistics.
 *
 * @param {RTCPeerConnection} connection
 * @returns {Promise<Route | null>} null while nothing is selected
 */
export async function selectedRoute(connection) {
  const report = await connection.getStats();
  /** @type {Map<string, any>} */
  const all = new Map();
  report.forEach((/** @type {any} */ entry) => all.set(entry.id, entry));
  const entries = [...all.values()];
  const transport = entries.find((entry) => entry.type === 'transport' && entry.selectedCandidatePairId);
  const pair =
    all.get(transport?.selectedCandidatePairId) ??
    // Browsers without transport statistics mark the pair itself.
    entries.find((entry) => entry.type === 'candidate-pair' && (entry.selected || (entry.nominated && entry.state === 'succeeded')));
  const local = all.get(pair?.localCandidateId);
  const remote = all.get(pair?.remoteCandidateId);
  if (local === undefined || remote === undefined) return null;
  const relayed = local.candidateType === 'relay' || remote.candidateType === 'relay';
  return {
    kind: relayed ? 'relayed' : 'direct',
    local: local.candidateType,
    remote: remote.candidateType,
    protocol: local.relayProtocol ?? local.protocol ?? 'udp',
  };
}
