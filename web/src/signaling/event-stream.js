/**
 * The longest event that is kept; what is longer is no message of this protocol (their bound is 256
 * KiB by default).
 */
const MAX_EVENT = 4 * 1024 * 1024;

/**
 * An incremental reader of `text/event-stream` (HTML standard, section 9.2.6), as far as this
 * protocol needs it: the data of each event.
 */
export class EventStreamReader {
  #decoder = new TextDecoder();
  #rest = '';
  /** @type {string[]} */
  #data = [];
  #size = 0;

  /**
   * @param {Uint8Array} chunk
   * @returns {string[]} the data of the events that are complete now
   */
  push(chunk) {
    let text = this.#rest + this.#decoder.decode(chunk, { stream: true });
    // A lone CR at the end may be the first half of CRLF.
    const held = text.endsWith('\r') ? '\r' : '';
    if (held !== '') text = text.slice(0, -1);
    const lines = text.split(/\r\n|\n|\r/);
    this.#rest = (lines.pop() ?? '') + held;
    const events = [];
    for (const line of lines) {
      if (line === '') {
        if (this.#data.length > 0) events.push(this.#data.join('\n'));
        this.#data = [];
        this.#size = 0;
      } else if (line.startsWith('data:')) {
        this.#data.push(line.slice(line.startsWith('data: ') ? 6 : 5));
        this.#size += line.length;
      }
    }
    if (this.#rest.length + this.#size > MAX_EVENT) throw new RangeError('an event of the stream is too long');
    return events;
  }
}
