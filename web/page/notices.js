import { byId } from './dom.js';
import { wordsFor } from './words.js';

/** The time for which a notice that needs no action stays, in milliseconds. */
const BRIEFLY = 12000;

/** The most notices at once. */
const MAX_NOTICES = 4;

/**
 * Shows a notice; there is one of each code at a time.
 *
 * @param {string} code
 * @param {{ text?: string, stays?: boolean, action?: string, onAction?: () => void }} [options]
 *   `text` is shown if the page has no sentence of its own; `stays` keeps it until {@link
 *   dismiss}
 */
export function notify(code, { text, stays = false, action, onAction } = {}) {
  dismiss(code);
  const notice = document.createElement('div');
  notice.className = 'notice';
  notice.dataset.testid = 'notice';
  notice.dataset.code = code;
  const words = document.createElement('p');
  words.textContent = wordsFor(code, text);
  notice.append(words);
  if (action !== undefined) {
    notice.append(button(action, () => {
      notice.remove();
      onAction?.();
    }));
  }
  const close = button('×', () => notice.remove());
  close.className = 'notice-close';
  close.setAttribute('aria-label', 'Dismiss');
  notice.append(close);
  const all = byId('notices');
  all.append(notice);
  while (all.children.length > MAX_NOTICES) all.firstElementChild?.remove();
  if (!stays) setTimeout(() => notice.remove(), BRIEFLY);
}

/**
 * @param {...string} codes
 */
export function dismiss(...codes) {
  for (const notice of [...byId('notices').children]) {
    if (notice instanceof HTMLElement && codes.includes(notice.dataset.code ?? '')) notice.remove();
  }
}

export function dismissAll() {
  byId('notices').replaceChildren();
}

/**
 * @param {string} label
 * @param {() => void} action
 */
function button(label, action) {
  const element = document.createElement('button');
  element.type = 'button';
  element.className = 'button small';
  element.textContent = label;
  element.addEventListener('click', action);
  return element;
}
