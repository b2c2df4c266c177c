// The other ways to wait for events, of our server alone: a connection that has said nothing yet,
// an event stream, and a long poll.

import { once } from 'node:events';
import { connect } from 'node:net';
import { randomBytes } from 'node:crypto';

/** A connection that has sent `text`, once something has come back, or once it is open. */
async function connection(port, text) {
  const socket = connect(port, '127.0.0.1');
  await once(socket, 'connect');
  if (text === null) return socket;
  socket.write(text);
  const [data] = await once(socket, 'data');
  return { socket, answer: data.toString() };
}

/** The credential of a new member of a session of its own. */
async function member(port) {
  const body = JSON.stringify({ type: 'join', session: randomBytes(16).toString('hex') });
  const answer = await fetch(`http://127.0.0.1:${port}/v1/signal`, { method: 'POST', body });
  const joined = await answer.json();
  return `${joined.peer}.${joined.secret}`;
}

const request = (credential, path, accept) =>
  `GET /v1/signal/events${path} HTTP/1.1\r\nHost: localhost\r\nAccept: ${accept}\r\n` +
  `Authorization: Bearer ${credential}\r\n\r\n`;

/** A TCP connection on which nothing was said. The server ends it after `--request-timeout`. */
const silent = { name: 'TCP, nothing said', open: ({ port }) => connection(port, null) };

/** Server-Sent Events of a member. */
const stream = {
  name: 'event stream',
  async open({ port }) {
    const credential = await member(port);
    const { socket, answer } = await connection(port, request(credential, '', 'text/event-stream'));
    if (!answer.startsWith('HTTP/1.1 200')) throw new Error(`the server answers ${answer}`);
    return socket;
  },
};

/** A long poll of a member, which waits as long as the protocol allows. */
const poll = {
  name: 'long poll',
  async open({ port }) {
    const credential = await member(port);
    const socket = await connection(port, null);
    socket.write(request(credential, '?after=0&wait=30', 'application/json'));
    return socket;
  },
};

export const waiting = [silent, stream, poll];
