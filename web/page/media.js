/** @typedef {'audio' | 'video'} Kind */

/** @type {Record<Kind, MediaTrackConstraints>} */
const CONSTRAINTS = {
  audio: { echoCancellation: true, noiseSuppression: true, autoGainControl: true },
  video: { width: { ideal: 1280 }, height: { ideal: 720 }, facingMode: 'user' },
};

/** The names of devices in the codes of problems. */
const DEVICE = { audio: 'microphone', video: 'camera' };

/**
 * Opens the devices that there are: if not all of them can be had, those that can.
 *
 * @param {Kind[]} kinds
 * @returns {Promise<{ tracks: MediaStreamTrack[], problems: string[] }>} problems are codes of
 *   `words.js`
 */
export async function openDevices(kinds) {
  if (kinds.length === 0) return { tracks: [], problems: [] };
  if (navigator.mediaDevices === undefined) {
    return { tracks: [], problems: [globalThis.isSecureContext ? 'no-webrtc' : 'insecure-origin'] };
  }
  try {
    const asked = Object.fromEntries(kinds.map((kind) => [kind, CONSTRAINTS[kind]]));
    const stream = await navigator.mediaDevices.getUserMedia(asked);
    return { tracks: stream.getTracks(), problems: [] };
  } catch (error) {
    return kinds.length === 1 ? { tracks: [], problems: [problem(kinds[0] ?? 'audio', error)] } : openEach(kinds, error);
  }
}

/**
 * Returns whether the person has allowed this device before, so that opening it asks nothing.
 *
 * @param {Kind} kind
 */
export async function isAllowed(kind) {
  try {
    const name = /** @type {PermissionName} */ (DEVICE[kind]);
    return (await navigator.permissions.query({ name })).state === 'granted';
  } catch {
    return false;
  }
}

/**
 * After the devices could not be had together.
 *
 * @param {Kind[]} kinds
 * @param {unknown} error
 */
async function openEach(kinds, error) {
  const tracks = [];
  const problems = [];
  const isDenied = error instanceof DOMException && error.name === 'NotAllowedError';
  for (const kind of kinds) {
    // After a refusal there is no further question for each device.
    if (isDenied && !(await isAllowed(kind))) {
      problems.push('permission-denied');
      continue;
    }
    const one = await openDevices([kind]);
    tracks.push(...one.tracks);
    problems.push(...one.problems);
  }
  const hasNothing = problems.includes('no-camera') && problems.includes('no-microphone');
  return { tracks, problems: hasNothing ? ['no-devices'] : [...new Set(problems)] };
}

/**
 * @param {Kind} kind
 * @param {unknown} error
 */
function problem(kind, error) {
  switch (error instanceof DOMException ? error.name : '') {
    case 'NotAllowedError':
    case 'SecurityError':
      return 'permission-denied';
    case 'NotFoundError':
    case 'OverconstrainedError':
      return `no-${DEVICE[kind]}`;
    case 'NotReadableError':
    case 'AbortError':
      return `${DEVICE[kind]}-busy`;
    default:
      return 'device-failed';
  }
}
