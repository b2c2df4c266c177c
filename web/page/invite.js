import { fragmentOf } from './address.js';
import { byId } from './dom.js';

/** The time for which the copy button shows that it has copied, in milliseconds. */
const COPIED = 2500;

/** Makes the card with the link work. */
export function startInvite() {
  const link = /** @type {HTMLInputElement} */ (byId('share-link'));
  link.addEventListener('focus', () => link.select());
  byId('copy-link').addEventListener('click', () => void copy(link));
  byId('share-button').addEventListener('click', () => toggle());
  if (typeof navigator.share !== 'function') return;
  const share = byId('web-share');
  share.hidden = false;
  // Closing the share sheet is no error.
  share.addEventListener('click', () => void navigator.share({ title: 'Join my call', url: link.value }).catch(() => {}));
}

/**
 * @param {string} token
 * @param {string} key the server's join key, if the link is to have it
 */
export function setLink(token, key) {
  const address = new URL(location.href);
  address.hash = fragmentOf(token, key);
  const link = /** @type {HTMLInputElement} */ (byId('share-link'));
  link.value = address.href;
  const note = byId('invite-note');
  const isLocal = ['localhost', '127.0.0.1', '[::1]'].includes(location.hostname);
  note.hidden = !isLocal;
  note.textContent = isLocal ? 'This link works on this computer only, because it names localhost.' : '';
}

/**
 * @param {boolean} alone true while there is no other participant: the card is shown by itself
 */
export function setAlone(alone) {
  const card = byId('invite');
  byId('invite-title').textContent = alone ? 'You are the first one here' : 'Invite others';
  if (card.dataset.alone === String(alone)) return;
  card.dataset.alone = String(alone);
  show(alone);
}

function toggle() {
  show(byId('invite').hidden !== false);
  if (!byId('invite').hidden) byId('share-link').focus();
}

/** @param {boolean} visible */
function show(visible) {
  byId('invite').hidden = !visible;
  byId('share-button').setAttribute('aria-expanded', String(visible));
}

/** @param {HTMLInputElement} link */
async function copy(link) {
  const label = byId('copy-link').querySelector('span');
  let copied = true;
  try {
    await navigator.clipboard.writeText(link.value);
  } catch {
    // On pages that are not secure there is no clipboard; the selected text can be copied by hand.
    link.focus();
    copied = document.execCommand('copy');
  }
  if (label === null) return;
  label.textContent = copied ? 'Copied' : 'Press Ctrl+C';
  setTimeout(() => {
    label.textContent = 'Copy link';
  }, COPIED);
}
