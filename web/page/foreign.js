/**
 * Characters that do more than to show themselves: control characters, line and paragraph
 * separators, and the marks that turn the direction of writing, by which a name could look like
 * another.
 */
const ACTIVE = /[\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/g;

/** The same without line breaks and tabs. */
const ACTIVE_IN_LINES = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/g;

/**
 * Text of others in one line, in which such characters are shown as escapes.
 *
 * @param {string} text
 */
export function oneLine(text) {
  return text.replace(ACTIVE, escape);
}

/**
 * Text of others that may have several lines.
 *
 * @param {string} text
 */
export function lines(text) {
  return text.replaceAll('\r\n', '\n').replace(ACTIVE_IN_LINES, escape);
}

/** @param {string} character */
function escape(character) {
  return `\\u{${character.charCodeAt(0).toString(16)}}`;
}
