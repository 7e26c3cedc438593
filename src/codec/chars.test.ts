import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import {
  CHAR_CLASS,
  CHAR_DIGIT,
  CHAR_HEX,
  CHAR_HOST,
  CHAR_PERCENT,
  CHAR_TARGET,
  CHAR_TOKEN,
  CHAR_VALUE,
  isFieldValue,
  isToken,
} from './chars.ts'

/** The grammar again, in another notation: a class is right when both agree on all 256 codes. */
const GRAMMAR: readonly [string, number, RegExp][] = [
  ['token', CHAR_TOKEN, /[!#$%&'*+\-.^_`|~0-9A-Za-z]/],
  ['field value', CHAR_VALUE, /[\t\x20-\x7e\x80-\xff]/],
  ['request target', CHAR_TARGET, /[!$-;=?-[\]-~]/],
  ['percent', CHAR_PERCENT, /%/],
  ['digit', CHAR_DIGIT, /[0-9]/],
  ['hex digit', CHAR_HEX, /[0-9A-Fa-f]/],
  ['host', CHAR_HOST, /[-._~%:[\]!$&'()*+,;=0-9A-Za-z]/],
]

describe('character classes', () => {
  for (const [name, bits, pattern] of GRAMMAR) {
    it(`${name}: agrees with the grammar on every code`, () => {
      for (let code = 0; code < 256; code++) {
        assert.equal(((CHAR_CLASS[code] as number) & bits) !== 0, pattern.test(String.fromCharCode(code)), `code ${code}`)
      }
    })
  }

  it('isToken refuses the empty name and anything outside latin1', () => {
    for (const text of ['', ' ', 'a b', 'a:', 'a\u0141', '\u2113', 'a\r', 'a\n', 'é']) assert.equal(isToken(text), false, text)
    for (const text of ['a', 'X-Y', '!#$']) assert.equal(isToken(text), true, text)
  })

  it('isFieldValue refuses line ends, NUL and anything outside latin1', () => {
    // U+010D and U+010A end in the bytes of CR and LF.
    for (const text of ['a\r', 'a\n', '\0', '\x7f', 'a\u010d\u010ab', '\u2028']) assert.equal(isFieldValue(text), false, text)
    for (const text of ['', ' a\t', '\xff']) assert.equal(isFieldValue(text), true, text)
  })
})
