import { byId } from './dom.js';
import { lines } from './foreign.js';

/** The log keeps the last so many messages. */
const MAX_MESSAGES = 500;

let unread = 0;

/** @type {(text: string) => void} */
let say = () => {};

/**
 * Makes the chat panel work.
 *
 * @param {(text: string) => void} send
 */
export function startChat(send) {
  say = send;
  byId('chat-toggle').addEventListener('click', () => setOpen(byId('chat').hidden !== false));
  byId('chat-close').addEventListener('click', () => setOpen(false));
  byId('chat').addEventListener('keydown', (event) => {
    if (event.key === 'Escape') setOpen(false);
  });
  byId('chat-form').addEventListener('submit', (event) => {
    event.preventDefault();
    const input = /** @type {HTMLInputElement} */ (byId('chat-input'));
    const text = input.value.trim();
    if (text === '') return;
    input.value = '';
    addMessage('self', 'You', text);
    say(text);
  });
}

/**
 * @param {string} from a peer id, or `self`
 * @param {string} name
 * @param {string} text
 * @param {Date} [time]
 */
export function addMessage(from, name, text, time = new Date()) {
  const message = document.createElement('li');
  message.className = 'chat-message';
  message.dataset.testid = 'chat-message';
  message.dataset.from = from;
  const head = document.createElement('p');
  head.className = 'chat-who';
  const clock = document.createElement('time');
  clock.dateTime = time.toISOString();
  clock.textContent = time.toLocaleTimeString([], { hour: '2-digit', minute: '2-digit' });
  head.append(name, ' ', clock);
  const body = document.createElement('p');
  body.className = 'chat-text';
  body.textContent = lines(text);
  message.append(head, body);
  append(message);
  if (from !== 'self' && byId('chat').hidden) setUnread(unread + 1);
}

/**
 * Notes in the log that a participant came or went.
 *
 * @param {string} text
 */
export function addRemark(text) {
  const remark = document.createElement('li');
  remark.className = 'chat-remark';
  remark.dataset.testid = 'chat-remark';
  remark.textContent = text;
  append(remark);
}

/**
 * Shows something other than text in the log, such as files.
 *
 * @param {HTMLElement} entry
 * @param {boolean} isNews true if it counts as unread
 */
export function addEntry(entry, isNews) {
  append(entry);
  if (isNews && byId('chat').hidden) setUnread(unread + 1);
}

export function clearChat() {
  byId('chat-log').replaceChildren();
  setUnread(0);
  byId('chat').hidden = true;
  byId('chat-toggle').setAttribute('aria-expanded', 'false');
  byId('stage').dataset.chat = 'closed';
}

/** @param {HTMLElement} entry */
function append(entry) {
  const log = byId('chat-log');
  const atEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 60;
  log.append(entry);
  while (log.children.length > MAX_MESSAGES) log.firstElementChild?.remove();
  if (atEnd) log.scrollTop = log.scrollHeight;
}

/** @param {boolean} open */
function setOpen(open) {
  byId('chat').hidden = !open;
  byId('stage').dataset.chat = open ? 'open' : 'closed';
  byId('chat-toggle').setAttribute('aria-expanded', String(open));
  if (open) {
    setUnread(0);
    byId('chat-input').focus();
    byId('chat-log').scrollTop = byId('chat-log').scrollHeight;
  } else {
    byId('chat-toggle').focus();
  }
}

/** @param {number} count */
function setUnread(count) {
  unread = count;
  const badge = byId('chat-count');
  badge.hidden = count === 0;
  badge.textContent = count > 9 ? '9+' : String(count);
  byId('chat-toggle').setAttribute('aria-label', count === 0 ? 'Chat' : `Chat, ${count} unread`);
}
