import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Incoming, MemorySink, Outgoing, PIECE, Secret, Tree, askedFor, hex, pieceHash, questionFor, safeNames } from '../src/files/index.js';

/** Two ends of a data channel, as far as a transfer needs them. */
function channels() {
  const ends = [new EventTarget(), new EventTarget()].map((target) =>
    Object.assign(target, { readyState: 'open', binaryType: '', bufferedAmount: 0, bufferedAmountLowThreshold: 0, send: (/** @type {any} */ _) => {}, close: () => {} }),
  );
  ends.forEach((end, at) => {
    const other = /** @type {any} */ (ends[1 - at]);
    end.send = (data) => {
      const copy = typeof data === 'string' ? data : data.slice().buffer;
      queueMicrotask(() => other.dispatchEvent(Object.assign(new Event('message'), { data: copy })));
    };
    end.close = () => {
      for (const each of ends) {
        each.readyState = 'closed';
        queueMicrotask(() => each.dispatchEvent(new Event('close')));
      }
    };
  });
  return /** @type {RTCDataChannel[]} */ (/** @type {unknown} */ (ends));
}

/**
 * Breaks a channel behind so many bytes of content.
 *
 * @param {any} end
 * @param {number} bytes
 */
function breakAfter(end, bytes) {
  const { send } = end;
  let left = bytes;
  end.send = (/** @type {any} */ data) => {
    if (left <= 0) return end.close();
    if (typeof data !== 'string') left -= data.length - 48;
    send(data);
  };
}

/**
 * @param {EventTarget} target
 * @param {string} type
 * @returns {Promise<any>}
 */
const once = (target, type) => new Promise((resolve) => target.addEventListener(type, resolve, { once: true }));

const offer = (fields = {}) => ({ type: 'offer', version: 1, transfer: '0123456789abcdef', entries: 1, files: 1, bytes: 10, top: [], more: 0, ...fields });

/** @param {object[]} messages what a sender says after its offer was accepted */
async function faultAfter(...messages) {
  const [mine, theirs] = channels();
  const incoming = new Incoming(/** @type {RTCDataChannel} */ (theirs));
  const failed = once(incoming, 'error');
  const offered = once(incoming, 'offer');
  mine?.send(JSON.stringify(messages.shift()));
  await Promise.race([offered, failed]);
  incoming.accept(new MemorySink());
  for (const message of messages) mine?.send(/** @type {any} */ (message instanceof Uint8Array ? message : JSON.stringify(message)));
  const { error } = await failed;
  return error.message;
}

test('values that are derived from a secret are those of the program', () => {
  const secret = Secret.parse('AAECAwQFBgcICQoLDA0ODw');
  assert.equal(secret?.session(), 'Sg8FyQQTxt7BWseUn127Ag');
  const seal = secret.seal();
  assert.equal(seal.seal('{}', ''), 'iuBFT2XeowfFODxiQ_Efdca06B0xUL8SKVPHfQca2io.{}');
  assert.equal(seal.open(String(seal.seal('ä.b', '')), ''), 'ä.b');
  for (const changed of ['', '.', '{}', 'iuBFT2XeowfFODxiQ_Efdca06B0xUL8SKVPHfQca2io.{} ', 'AAAA.{}']) assert.throws(() => seal.open(changed, ''));
  for (const text of ['', 'AAECAwQFBgcICQoLDA0OD', 'AAECAwQFBgcICQoLDA0ODwAA', 'AAECAwQFBgcICQoLDA0OD!']) assert.equal(Secret.parse(text), null);
});

test('the root is the BLAKE3 hash of the file', () => {
  const known = {
    0: 'af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262',
    1: '2d3adedff11b61f14c886e35afa036736dcd87a74d27b5c1510225d0f592e213',
    102400: 'bc3e3d41a1146b069abffad3c0d44860cf664390afce4d9661f7902e7943e085',
  };
  for (const [length, hash] of Object.entries(known)) {
    const content = Uint8Array.from({ length: Number(length) }, (_, at) => at % 251);
    const tree = new Tree();
    for (let at = 0; at < content.length; at += PIECE) {
      const piece = content.slice(at, at + PIECE);
      tree.push(piece, pieceHash(at, piece));
    }
    assert.equal(hex(tree.root()), hash, length);
  }
});

test('files arrive as they were', async () => {
  const contents = [0, 1, PIECE, 3 * PIECE + 5].map((length) => Uint8Array.from({ length }, (_, at) => at % 250));
  const files = contents.map((content, n) => ({ path: `a/${n}`, file: new File([content], String(n)) }));
  const [mine, theirs] = channels();
  const incoming = new Incoming(/** @type {RTCDataChannel} */ (theirs));
  const outgoing = new Outgoing(/** @type {RTCDataChannel} */ (mine), files, 'Ann');
  const sent = once(outgoing, 'done');
  await once(incoming, 'offer');
  assert.deepEqual([incoming.offer?.from, incoming.offer?.files, incoming.offer?.top[0]?.name], ['Ann', 4, 'a']);
  const sink = new MemorySink();
  incoming.accept(sink);
  await sent;
  assert.deepEqual(sink.arrived.map(({ name }) => name), ['a/0', 'a/1', 'a/2', 'a/3']);
  for (const [n, { blob }] of sink.arrived.entries()) assert.deepEqual(new Uint8Array(await blob.arrayBuffer()), contents[n]);
});

test('a transfer that broke goes on where it was, over another channel', async () => {
  for (const breaksAt of [1, 2 * PIECE + 1, 4 * PIECE, 9 * PIECE]) {
    const content = (/** @type {number} */ length) => Uint8Array.from({ length }, (_, at) => (at * 7) % 250);
    const contents = [content(2 * PIECE), content(8 * PIECE + 3)];
    const files = [...contents.map((each, n) => ({ path: `a/${n}`, file: new File([each], String(n)) })), { path: 'a/empty', file: null }];
    const sink = new MemorySink();
    const [mine, theirs] = channels();
    const first = new Incoming(/** @type {RTCDataChannel} */ (theirs));
    const lost = once(first, 'error');
    new Outgoing(/** @type {RTCDataChannel} */ (mine), files, '', '0123456789abcdef');
    await once(first, 'offer');
    breakAfter(mine, breaksAt);
    first.accept(sink);
    assert.equal((await lost).error.code, 'lost');
    assert.ok(first.canGoOn);

    const [again, there] = channels();
    const second = new Incoming(/** @type {RTCDataChannel} */ (there));
    const outgoing = new Outgoing(/** @type {RTCDataChannel} */ (again), files, '', '0123456789abcdef');
    const done = once(outgoing, 'done');
    await once(second, 'offer');
    const asked = first.place.position;
    await first.handOver();
    let least = Infinity;
    second.addEventListener('progress', () => (least = Math.min(least, second.bytes)));
    second.accept(sink, first);
    await done;
    // What was there did not come again, but for a piece that has no joint yet.
    const before = asked.entry * 2 * PIECE + asked.offset;
    assert.ok(least > before && before >= Math.min(first.bytes, 9 * PIECE) - PIECE * 2, `${least} ${before} ${first.bytes}`);
    for (const [n, { blob }] of sink.arrived.entries()) assert.deepEqual(new Uint8Array(await blob.arrayBuffer()), contents[n]);
    assert.equal(sink.arrived.length, 2);
  }
});

test('a page that is loaded again goes on at the place that its former kept', async () => {
  /** A sink that keeps what a storage would. */
  class KeepingSink extends MemorySink {
    /** @type {string[]} */
    kept = [];
    /** @param {import('../src/files/incoming.js').KeptPlace} place */
    async keep(place) {
      this.kept.push(JSON.stringify(place));
    }
  }
  const content = (/** @type {number} */ length) => Uint8Array.from({ length }, (_, at) => (at * 7) % 250);
  // The places are within a large file, and between small ones that have no whole piece.
  for (const sizes of [[3 * 2 ** 20 + 5], Array.from({ length: 60 }, () => 50_000)]) {
    const files = sizes.map((size, n) => ({ path: `a/${n}`, file: new File([content(size)], String(n)) }));
    const run = async (/** @type {KeepingSink} */ sink, /** @type {any} */ place) => {
      const [mine, theirs] = channels();
      const incoming = new Incoming(/** @type {RTCDataChannel} */ (theirs));
      const outgoing = new Outgoing(/** @type {RTCDataChannel} */ (mine), files, '', '0123456789abcdef');
      const done = once(outgoing, 'done');
      await once(incoming, 'offer');
      let least = Infinity;
      incoming.addEventListener('progress', () => (least = Math.min(least, incoming.bytes)));
      incoming.accept(sink, place);
      await done;
      return least;
    };
    const sink = new KeepingSink();
    await run(sink, null);
    assert.ok(sink.kept.length >= 1, 'a place was kept');
    for (const text of sink.kept) {
      const place = JSON.parse(text);
      // All checks of hashes and chains hold from here on, and what is before it does not come.
      const least = await run(new KeepingSink(), place);
      assert.ok(least > place.bytes + place.position.offset, `${least} bytes after ${text}`);
      const other = { ...place, transfer: 'another' };
      assert.ok((await run(new KeepingSink(), other)) <= 2 ** 16, 'another transfer begins at its beginning');
    }
  }
});

test('a connection that is lost before the sender begins leaves the place that was there', async () => {
  const place = { transfer: '0123456789abcdef', position: { entry: 7, offset: 2 ** 17, before: 'aa', with: 'bb', stack: ['cc'] }, chain: 'bb', pieces: 2, bytes: 5 };
  const [mine, theirs] = channels();
  const incoming = new Incoming(/** @type {RTCDataChannel} */ (theirs));
  const offered = once(incoming, 'offer');
  mine?.send(JSON.stringify(offer({ entries: 9 })));
  await offered;
  incoming.accept(new MemorySink(), place);
  const lost = once(incoming, 'error');
  mine?.close();
  await lost;
  assert.ok(incoming.canGoOn);
  assert.deepEqual(incoming.place, place);
});

test('either side can stop, and the other hears it', async () => {
  for (const side of ['incoming', 'outgoing']) {
    const [mine, theirs] = channels();
    const incoming = new Incoming(/** @type {RTCDataChannel} */ (theirs));
    const outgoing = new Outgoing(/** @type {RTCDataChannel} */ (mine), [{ path: 'a', file: new File(['x'], 'a') }], '');
    await once(incoming, 'offer');
    const heard = once(side === 'incoming' ? outgoing : incoming, 'error');
    (side === 'incoming' ? incoming : outgoing).cancel();
    assert.match((await heard).error.message, side === 'incoming' ? /does not want/ : /has stopped/);
  }
});

test('a sender that lies is found out', async () => {
  const start = { type: 'start', entry: 0, offset: 0 };
  const entry = (fields = {}) => ({ type: 'entry', n: 0, path: 'a', kind: 'file', bytes: 10, ...fields });
  const piece = (/** @type {Uint8Array} */ content) => {
    const message = new Uint8Array(48 + content.length);
    message[0] = 1;
    message.set(pieceHash(0, content), 16);
    message.set(content, 48);
    return message;
  };
  const damaged = piece(new Uint8Array(10));
  damaged[50] = 1;
  assert.match(await faultAfter(offer({ entries: 10_000_000 })), /million/);
  assert.match(await faultAfter(offer({ version: 2 })), /another version/);
  assert.match(await faultAfter(offer({ bytes: -1 })), /cannot be read/);
  assert.match(await faultAfter(offer(), { type: 'done' }), /out of order/);
  for (const path of ['../x', '/etc/passwd', 'a/../b', '', 'x'.repeat(1 << 16), 7]) {
    assert.match(await faultAfter(offer(), start, entry({ path })), /leads elsewhere/);
  }
  assert.match(await faultAfter(offer(), start, entry({ n: 1 })), /more than it has offered/);
  assert.match(await faultAfter(offer(), start, entry(), piece(new Uint8Array(11))), /more than it has offered/);
  assert.match(await faultAfter(offer(), start, entry(), damaged), /damaged/);
  assert.match(await faultAfter(offer(), start, entry(), piece(new Uint8Array(10)), { type: 'end', n: 0, bytes: 10, hash: '00' }), /hash/);
  assert.match(await faultAfter(offer(), start, entry({ size: 10, extents: [[5, 5], [0, 5]] })), /contradicts/);
});

test('names are made to fit all systems', () => {
  assert.deepEqual(safeNames('a/日本/.x'), ['a', '日本', '.x']);
  assert.deepEqual(safeNames('C:\\x/nul/COM1.txt/a. '), ['C__x', '_nul', '_COM1.txt', 'a__']);
});

test('holes of a sparse file are zeros', async () => {
  const [mine, theirs] = channels();
  const incoming = new Incoming(/** @type {RTCDataChannel} */ (theirs));
  const offered = once(incoming, 'offer');
  mine?.send(JSON.stringify(offer({ bytes: 4 })));
  await offered;
  const sink = new MemorySink();
  incoming.accept(sink);
  const content = Uint8Array.from([1, 2, 3, 4]);
  const message = new Uint8Array(52);
  message[0] = 1;
  message.set(pieceHash(0, content), 16);
  message.set(content, 48);
  const tree = new Tree();
  tree.push(content, pieceHash(0, content));
  const done = once(incoming, 'done');
  mine?.send(JSON.stringify({ type: 'start', entry: 0, offset: 0 }));
  mine?.send(JSON.stringify({ type: 'entry', n: 0, path: 'a', kind: 'file', bytes: 4, size: 8, extents: [[1, 2], [5, 2]] }));
  mine?.send(message);
  mine?.send(JSON.stringify({ type: 'end', n: 0, bytes: 4, hash: hex(tree.root()) }));
  mine?.send(JSON.stringify({ type: 'done', entries: 1, bytes: 4 }));
  await done;
  assert.deepEqual([...new Uint8Array(await /** @type {Blob} */ (sink.arrived[0]?.blob).arrayBuffer())], [0, 1, 2, 0, 0, 3, 4, 0]);
});

/**
 * A connection between these certificates, as far as a question needs one.
 *
 * @param {string} own
 * @param {string} other
 */
const connected = (own, other) => /** @type {RTCPeerConnection} */ (/** @type {unknown} */ ({
  currentLocalDescription: { sdp: `v=0\r\na=fingerprint:sha-256 ${own}\r\n` },
  currentRemoteDescription: { sdp: `v=0\r\na=fingerprint:sha-256 ${other}\r\n` },
}));

test('only the sender of a transfer understands a question for it, and only on its connection', () => {
  const transfers = ['0123456789abcdef', 'fedcba9876543210'];
  const question = questionFor(transfers.slice(0, 1), connected('AA:01', 'BB:02'));
  assert.deepEqual(askedFor(question, transfers, connected('bb:02', 'aa:01')), transfers.slice(0, 1));
  assert.ok(!question.includes('0123456789'));
  assert.deepEqual(askedFor(question, transfers.slice(1), connected('BB:02', 'AA:01')), []);
  // One who passes it on has another certificate, and an answer is no question.
  assert.deepEqual(askedFor(question, transfers, connected('BB:02', 'CC:03')), []);
  assert.deepEqual(askedFor(question, transfers, connected('AA:01', 'BB:02')), []);
  for (const bad of ['', 'null', '[]', '{"type":"again"}', '{"type":"again","proofs":{}}', `${question}${' '.repeat(10000)}`, new ArrayBuffer(8)]) {
    assert.deepEqual(askedFor(bad, transfers, connected('BB:02', 'AA:01')), []);
  }
});

test('a receiver whose turn has not come hears so, and then that another has taken the files', async () => {
  const [mine, theirs] = channels();
  const incoming = new Incoming(/** @type {RTCDataChannel} */ (theirs));
  const waits = once(incoming, 'wait');
  const failed = once(incoming, 'error');
  mine?.send('{"type":"wait"}');
  await waits;
  mine?.send('{"type":"cancel","code":"taken"}');
  assert.match((await failed).error.message, /has taken the files/);
});
