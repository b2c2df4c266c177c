import { addEntry } from './chat.js';
import { Speed, sizeWords, timeWords } from './files.js';
import { oneLine } from './foreign.js';

/** A transfer in the chat. */
export class TransferView {
  #text = document.createElement('p');
  #bar = document.createElement('progress');
  #row = document.createElement('div');
  #speed = new Speed();
  #total;
  title;

  /**
   * @param {string} from a peer id, or `self`
   * @param {string} title
   * @param {number | undefined} total
   */
  constructor(from, title, total) {
    this.#total = total;
    this.title = title;
    const item = document.createElement('li');
    item.className = 'chat-message transfer';
    item.dataset.testid = 'transfer';
    item.dataset.from = from;
    const head = document.createElement('p');
    head.textContent = title;
    this.#text.className = 'muted small';
    this.#text.setAttribute('role', 'status');
    this.#bar.hidden = true;
    this.#bar.setAttribute('aria-label', 'Progress');
    this.#row.className = 'transfer-buttons';
    item.append(head, this.#text, this.#bar, this.#row);
    addEntry(item, from !== 'self');
  }

  /** @param {string} text */
  say(text) {
    this.#text.textContent = text;
  }

  /**
   * Nothing moves now.
   *
   * @param {string} text
   */
  pause(text) {
    this.#bar.hidden = true;
    this.#speed = new Speed();
    this.say(text);
  }

  /**
   * Keeps a field that a button stands for.
   *
   * @param {HTMLInputElement} input
   */
  hold(input) {
    input.hidden = true;
    this.#row.append(input);
  }

  /** @param {Record<string, () => void>} actions */
  buttons(actions) {
    this.#row.replaceChildren(...Object.entries(actions).map(([name, act], at) => {
      const button = document.createElement('button');
      button.type = 'button';
      button.className = at === 0 && name === 'Take' ? 'button primary' : 'button';
      button.dataset.testid = `transfer-${name.toLowerCase()}`;
      button.textContent = name;
      button.addEventListener('click', act);
      return button;
    }));
  }

  /** @param {number} bytes */
  progress(bytes) {
    const total = this.#total;
    this.#bar.hidden = total === undefined;
    if (total !== undefined) {
      this.#bar.max = Math.max(1, total);
      this.#bar.value = bytes;
    }
    const speed = this.#speed.of(bytes, performance.now());
    const left = total === undefined || speed === 0 ? '' : `, ${timeWords((total - bytes) / speed)}`;
    this.say(`${sizeWords(bytes)}${total === undefined ? '' : ` of ${sizeWords(total)}`}, ${sizeWords(speed)}/s${left}`);
  }

  /** @param {string} text */
  end(text) {
    this.#bar.hidden = true;
    this.#row.replaceChildren();
    this.say(text);
  }

  /** @param {import('/columba/files/sink.js').Arrived[]} arrived */
  files(arrived) {
    this.#row.replaceChildren(...arrived.slice(0, 100).map(({ name, blob }) => {
      const link = document.createElement('a');
      link.href = URL.createObjectURL(blob);
      link.download = name.split('/').at(-1) ?? 'file';
      link.textContent = `Save ${oneLine(name)}`;
      link.dataset.testid = 'transfer-save';
      return link;
    }));
  }
}
