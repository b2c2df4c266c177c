/**
 * A camera and a microphone in a page, in place of the browser's: a picture of 320×240 that is dark
 * but for a flash of 200 ms each second, with a beep at the same moment; the time is burned in.
 * Runs in the page, before its own scripts.
 */
export function clockCamera() {
  const flash = 0.2;
  const devices = navigator.mediaDevices;
  if (devices === undefined) return;
  const own = devices.getUserMedia.bind(devices);

  /**
   * Beeps that are made here; without a sound card Firefox makes none.
   * @param {AudioContext} sound
   */
  const made = (sound) => {
    const out = sound.createMediaStreamDestination();
    const beep = sound.createOscillator();
    const loudness = sound.createGain();
    loudness.gain.value = 0;
    beep.frequency.value = 1000;
    beep.connect(loudness).connect(out);
    beep.start();
    let next = Math.ceil(sound.currentTime) + 1;
    const play = () => {
      if (sound.currentTime <= next - 0.5) return;
      loudness.gain.setValueAtTime(0.5, next);
      loudness.gain.setValueAtTime(0, next + flash);
      next += 1;
    };
    return { tracks: out.stream.getAudioTracks(), now: () => sound.currentTime, play };
  };

  /** The tone of the browser's own false microphone, switched on and off. */
  const switched = async () => {
    const tracks = (await own({ audio: { echoCancellation: false, noiseSuppression: false, autoGainControl: false } })).getAudioTracks();
    const play = (/** @type {boolean} */ isLit) => tracks.forEach((track) => (track.enabled = isLit));
    return { tracks, now: () => performance.now() / 1000, play };
  };

  const begin = async () => {
    const canvas = document.createElement('canvas');
    [canvas.width, canvas.height] = [320, 240];
    const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext('2d'));
    const sound = new AudioContext();
    await Promise.race([sound.resume(), new Promise((resolve) => setTimeout(resolve, 1000))]);
    const { tracks, now, play } = sound.state === 'running' ? made(sound) : await switched();
    const first = now() + 2;
    // A timer and not an animation frame: a page in the background gets none of those.
    setInterval(() => {
      const time = now();
      const isLit = time % 1 < flash && time > first;
      play(isLit);
      context.fillStyle = isLit ? 'white' : '#202020';
      context.fillRect(0, 0, canvas.width, canvas.height);
      context.fillStyle = isLit ? 'black' : '#a0a0a0';
      context.font = '40px monospace';
      context.fillText(time.toFixed(2), 80, 130);
    }, 10);
    return new MediaStream([...canvas.captureStream(30).getVideoTracks(), ...tracks]);
  };

  /** @type {Promise<MediaStream> | undefined} */
  let stream;
  devices.getUserMedia = async (wanted) => {
    stream ??= begin();
    const tracks = (await stream).getTracks();
    // The very tracks, and no clones: these would not be switched with them.
    return new MediaStream(tracks.filter((track) => wanted?.[/** @type {'audio' | 'video'} */ (track.kind)]));
  };
}
