import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fragmentOf, readFragment } from '../page/address.js';
import { lines, oneLine } from '../page/foreign.js';

test('a fragment has a token, and perhaps the join key', () => {
  assert.deepEqual(readFragment('abc'), { token: 'abc', key: '' });
  assert.deepEqual(readFragment('abc&key=a%26b%25'), { token: 'abc', key: 'a&b%' });
  assert.deepEqual(readFragment('abc&key=100%'), { token: 'abc', key: '100%' });
  assert.deepEqual(readFragment(''), { token: null, key: '' });
  assert.deepEqual(readFragment('two words'), { token: null, key: '' });
  assert.equal(fragmentOf('abc'), '#abc');
  for (const key of ['a&b%', '&key=', 'x'.repeat(128)]) {
    assert.deepEqual(readFragment(fragmentOf('abc', key).slice(1)), { token: 'abc', key });
  }
});

test('control characters of others are shown as escapes', () => {
  assert.equal(oneLine('Ann\nBob: hi\u202e\u0000\u2028'), 'Ann\\u{a}Bob: hi\\u{202e}\\u{0}\\u{2028}');
  assert.equal(lines('one\r\ntwo\tthree\u001b[31m\u2066'), 'one\ntwo\tthree\\u{1b}[31m\\u{2066}');
  const plain = 'näme 🙂 👩‍👧 עברית';
  assert.equal(oneLine(plain), plain);
});
