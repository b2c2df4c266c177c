// A page that sends a picture and a tone, and counts what it gets, by commands.

/** Runs in the page: it uses nothing else of this file. */
export class FilmPeer {
  /** Pictures of the other side by their color. */
  #seen = { red: 0, blue: 0 };
  /** @type {MediaStream | undefined} */
  #stream;

  /**
   * @param {{audio?: string, video?: string, rids?: string[]}} codecs the only ones, and the names
   *   of the encodings of the picture, the smallest first
   * @param {(event: object) => void} report
   */
  constructor(codecs, report) {
    const connection = new RTCPeerConnection();
    this.connection = connection;
    this.codecs = codecs;
    this.report = report;
    connection.addEventListener('connectionstatechange', () => report({ event: 'state', state: connection.connectionState }));
    connection.addEventListener('track', ({ track }) => {
      if (track.kind === 'video') this.#watch(track);
    });
  }

  /** Colors that change each second, with the time burned in, and a tone. */
  #film() {
    if (this.#stream) return this.#stream;
    const canvas = document.createElement('canvas');
    // Smaller ones have fewer layers.
    [canvas.width, canvas.height] = this.codecs.rids ? [960, 540] : [320, 240];
    const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext('2d'));
    setInterval(() => {
      const time = performance.now() / 1000;
      context.fillStyle = time % 2 < 1 ? 'red' : 'blue';
      context.fillRect(0, 0, canvas.width, canvas.height);
      context.fillStyle = 'white';
      context.font = '30px monospace';
      context.fillText(time.toFixed(2), 10, 40);
    }, 33);
    const sound = new AudioContext();
    const out = sound.createMediaStreamDestination();
    const tone = sound.createOscillator();
    tone.connect(out);
    tone.start();
    this.#stream = new MediaStream([...canvas.captureStream(30).getVideoTracks(), ...out.stream.getAudioTracks()]);
    return this.#stream;
  }

  /** Counts the pictures that a viewer sees. @param {MediaStreamTrack} track */
  #watch(track) {
    const video = document.createElement('video');
    video.muted = true;
    video.srcObject = new MediaStream([track]);
    document.body.append(video);
    void video.play().catch(() => {});
    const canvas = document.createElement('canvas');
    [canvas.width, canvas.height] = [8, 8];
    const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext('2d', { willReadFrequently: true }));
    setInterval(() => {
      if (video.readyState < 2) return;
      context.drawImage(video, 0, 0, 8, 8);
      const [red, , blue] = context.getImageData(4, 6, 1, 1).data;
      if (red > 150 && blue < 100) this.#seen.red += 1;
      if (blue > 150 && red < 100) this.#seen.blue += 1;
    }, 100);
  }

  #addTracks() {
    const stream = this.#film();
    for (const track of [...stream.getAudioTracks(), ...stream.getVideoTracks()]) {
      const { rids } = this.codecs;
      if (rids && track.kind === 'video') {
        const sendEncodings = rids.map((rid, index) => ({ rid, scaleResolutionDownBy: 2 ** (rids.length - 1 - index) }));
        this.connection.addTransceiver(track, { streams: [stream], sendEncodings });
        continue;
      }
      const sender = this.connection.addTrack(track, stream);
      const wanted = this.codecs[/** @type {'audio' | 'video'} */ (track.kind)];
      const transceiver = this.connection.getTransceivers().find((one) => one.sender === sender);
      const known = RTCRtpReceiver.getCapabilities(track.kind)?.codecs ?? [];
      const mime = `${track.kind}/${wanted}`.toLowerCase();
      const chosen = known.filter((one) => [mime, 'video/rtx'].includes(one.mimeType.toLowerCase()));
      if (wanted && transceiver) transceiver.setCodecPreferences(chosen);
    }
  }

  async #describe() {
    const { connection } = this;
    await connection.setLocalDescription();
    const isWhole = () => connection.iceGatheringState === 'complete' && connection.localDescription?.sdp.includes('a=candidate');
    while (!isWhole()) {
      await new Promise((resolve) => connection.addEventListener('icegatheringstatechange', resolve, { once: true }));
    }
    const { type, sdp } = /** @type {RTCSessionDescription} */ (connection.localDescription);
    this.report({ event: 'description', type, sdp });
  }

  /** The first sender and receiver of a picture. */
  #picture() {
    const found = this.connection.getTransceivers().find((one) => one.receiver.track.kind === 'video');
    if (!found) throw new Error('there is no picture');
    return found;
  }

  /** @param {any} command */
  async obey({ do: what, type, sdp, direction, with: isGiven }) {
    const { connection } = this;
    if (what === 'offer') {
      if (connection.getTransceivers().length === 0) this.#addTracks();
      await this.#describe();
    } else if (what === 'setRemote') {
      await connection.setRemoteDescription({ type, sdp });
      if (type !== 'offer') return;
      if (connection.getSenders().every((sender) => sender.track === null)) this.#addTracks();
      await this.#describe();
    } else if (what === 'addVideo') connection.addTransceiver(this.#film().getVideoTracks()[0].clone());
    else if (what === 'stopLast') connection.getTransceivers().findLast((one) => one.direction !== 'stopped')?.stop();
    else if (what === 'replace') await this.#picture().sender.replaceTrack(isGiven ? this.#film().getVideoTracks()[0] : null);
    else if (what === 'direct') this.#picture().direction = direction;
    else if (what === 'restart') connection.restartIce();
    else if (what === 'count') await this.#count();
    else if (what === 'end') connection.close();
    else throw new Error(`there is no command ${what}`);
  }

  async #count() {
    const stats = await this.connection.getStats();
    /** @type {any[]} */
    const all = [...stats.values()];
    const codec = (/** @type {any} */ one) => all.find(({ id }) => id === one.codecId)?.mimeType?.split('/')[1] ?? null;
    const inbound = all.filter(({ type }) => type === 'inbound-rtp').map((one) => ({
      kind: one.kind,
      codec: codec(one),
      packets: one.packetsReceived ?? 0,
      lost: one.packetsLost ?? 0,
      nacks: one.nackCount ?? 0,
      plis: one.pliCount ?? 0,
      repaired: one.retransmittedPacketsReceived ?? 0,
      corrections: one.fecPacketsReceived ?? 0,
      frames: one.framesDecoded ?? 0,
      freezes: one.freezeCount ?? 0,
    }));
    const outbound = all.filter(({ type }) => type === 'outbound-rtp').map((one) => ({
      kind: one.kind,
      codec: codec(one),
      packets: one.packetsSent ?? 0,
      nacks: one.nackCount ?? 0,
      plis: one.pliCount ?? 0,
      repaired: one.retransmittedPacketsSent ?? 0,
      frames: one.framesSent ?? 0,
      target: one.targetBitrate ?? 0,
    }));
    const sum = (/** @type {string} */ kind, /** @type {'frames' | 'packets'} */ what) =>
      inbound.filter((one) => one.kind === kind).reduce((total, one) => total + one[what], 0);
    this.report({ event: 'counts', audio: sum('audio', 'packets'), video: sum('video', 'frames'), seen: this.#seen, inbound, outbound });
  }
}
