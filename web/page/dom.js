/**
 * An element of the page by its id.
 *
 * @template {HTMLElement} [T=HTMLElement]
 * @param {string} id
 * @returns {T}
 */
export function byId(id) {
  const element = document.getElementById(id);
  if (element === null) throw new Error(`the page has no element #${id}`);
  return /** @type {T} */ (element);
}

/**
 * The element inside another that carries this test id.
 *
 * @template {HTMLElement} [T=HTMLElement]
 * @param {ParentNode} parent
 * @param {string} name
 * @returns {T}
 */
export function part(parent, name) {
  const element = parent.querySelector(`[data-testid="${name}"]`);
  if (element === null) throw new Error(`there is no ${name}`);
  return /** @type {T} */ (element);
}

/**
 * @param {HTMLElement} button
 * @param {string} name one of the icons in `index.html`
 */
export function setIcon(button, name) {
  button.querySelector('use')?.setAttribute('href', `#icon-${name}`);
}

/**
 * The letters for a participant without a picture.
 *
 * @param {string} name
 */
export function initials(name) {
  const words = name.trim().split(/\s+/).filter(Boolean);
  return words.slice(0, 2).map((word) => [...word][0]?.toUpperCase() ?? '').join('');
}
