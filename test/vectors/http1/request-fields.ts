/** Host rules, field lines, limits and pipelining on requests: RFC 9112 section 5, RFC 9110 sections 5 and 7.2. */
import {
  CONNECTION_CLOSE,
  CONNECTION_KEEP_ALIVE,
  CONNECTION_OTHER,
  CONNECTION_UPGRADE,
  HEAD_INCOMPLETE,
  HEAD_INVALID,
  HEAD_TOO_LARGE,
} from '../../../src/codec/http1/head.ts'
import { accept, type HeadVector, post, refuse } from './vector.ts'

const host = (value: string): string => `GET / HTTP/1.1\r\nHost:${value}\r\n\r\n`
const fields = (lines: string): string => `GET / HTTP/1.1\r\nHost: a\r\n${lines}\r\n\r\n`
const many = (count: number): string => Array.from({ length: count }, (_, i) => `X-${i}: v`).join('\r\n')
const TOKEN = "!#$%&'*+-.^_`|~09azAZ"
const OBS_TEXT = Array.from({ length: 128 }, (_, i) => String.fromCharCode(128 + i)).join('')
const VISIBLE = Array.from({ length: 94 }, (_, i) => String.fromCharCode(33 + i)).join('')

export const REQUEST_HOST: readonly HeadVector[] = [
  refuse('1.1 without Host', 'GET / HTTP/1.1\r\n\r\n', HEAD_INVALID),
  refuse('1.1 without Host but with other fields', 'GET / HTTP/1.1\r\nHosts: a\r\n\r\n', HEAD_INVALID),
  refuse('two Host fields', 'GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n', HEAD_INVALID),
  refuse('two equal Host fields', 'GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n', HEAD_INVALID),
  refuse('two Host fields of different case', 'GET / HTTP/1.1\r\nHost: a\r\nhOST: a\r\n\r\n', HEAD_INVALID),
  refuse('two Host fields on 1.0', 'GET / HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n', HEAD_INVALID),
  refuse('an invalid Host on 1.0', 'GET / HTTP/1.0\r\nHost: a b\r\n\r\n', HEAD_INVALID),
  refuse('a Host without one on an absolute target', 'GET http://a/ HTTP/1.1\r\n\r\n', HEAD_INVALID),
  accept('an empty Host', host(''), { fields: [['Host', '']] }),
  accept('an empty Host of spaces', host('  '), { fields: [['Host', '']] }),
  ...[
    ' a',
    ' A.b-c.example',
    ' a:80',
    ' a:',
    ' 127.0.0.1:8080',
    ' [::1]',
    ' [::1]:80',
    ' [::ffff:1.2.3.4]',
    ' a_b.c',
    ' a%20b',
    ' xn--bcher-kva',
    'a',
    '\ta\t',
    ' *.a',
  ].map((value) => accept(`Host${JSON.stringify(value)}`, host(value), { fields: [['Host', value.trim()]] })),
  ...[
    ' a b',
    ' a/b',
    ' a\\b',
    ' a@b',
    ' a?b',
    ' a#b',
    ' http://a',
    ' a:80:80',
    ' a:8x',
    ' a:65536',
    ' a:-1',
    ' a:+80',
    ' a: 80',
    ' ::1',
    ' [::1',
    ' ::1]',
    ' [::1]a',
    ' [::g]',
    ' []',
    ' [::1%eth0]',
    ' a\xe9',
    ' a"b',
    ' <a>',
    ' a\tb',
    ' a:000080',
  ].map((value) => refuse(`Host${JSON.stringify(value)}`, host(value), HEAD_INVALID)),
]

export const REQUEST_FIELDS: readonly HeadVector[] = [
  // Whitespace and values that must pass.
  accept('no space behind the colon', fields('X:v'), {
    fields: [
      ['Host', 'a'],
      ['X', 'v'],
    ],
  }),
  accept('many spaces and tabs around the value', fields('X: \t  v \t '), {
    fields: [
      ['Host', 'a'],
      ['X', 'v'],
    ],
  }),
  accept('spaces inside the value', fields('X: a  b\tc'), {
    fields: [
      ['Host', 'a'],
      ['X', 'a  b\tc'],
    ],
  }),
  accept('an empty value', fields('X:'), {
    fields: [
      ['Host', 'a'],
      ['X', ''],
    ],
  }),
  accept('an empty value with a space', fields('X: '), {
    fields: [
      ['Host', 'a'],
      ['X', ''],
    ],
  }),
  accept('an empty value of tabs', fields('X:\t\t'), {
    fields: [
      ['Host', 'a'],
      ['X', ''],
    ],
  }),
  accept('a value of one colon', fields('X::'), {
    fields: [
      ['Host', 'a'],
      ['X', ':'],
    ],
  }),
  accept('colons in the value', fields('X: a: b: c'), {
    fields: [
      ['Host', 'a'],
      ['X', 'a: b: c'],
    ],
  }),
  accept('a name of every token character', fields(`${TOKEN}: v`), {
    fields: [
      ['Host', 'a'],
      [TOKEN, 'v'],
    ],
    hasUnderscore: true,
  }),
  accept('a name of one digit', fields('0: v'), {
    fields: [
      ['Host', 'a'],
      ['0', 'v'],
    ],
    hasUnderscore: false,
  }),
  accept('a name with an underscore is marked', fields('X_Y: v'), { hasUnderscore: true }),
  accept('an underscore in a value is not marked', fields('X: a_b'), { hasUnderscore: false }),
  accept('every obs-text byte', fields(`X: ${OBS_TEXT}`), {
    fields: [
      ['Host', 'a'],
      ['X', OBS_TEXT],
    ],
  }),
  accept('a value of no-break spaces is not trimmed', fields('X: \xa0v\xa0'), {
    fields: [
      ['Host', 'a'],
      ['X', '\xa0v\xa0'],
    ],
  }),
  accept('every visible character', fields(`X: ${VISIBLE}`), {
    fields: [
      ['Host', 'a'],
      ['X', VISIBLE],
    ],
  }),
  accept('the same name three times keeps its order', fields('X: 1\r\nY: 2\r\nx: 3\r\nX: 4'), {
    fields: [
      ['Host', 'a'],
      ['X', '1'],
      ['Y', '2'],
      ['x', '3'],
      ['X', '4'],
    ],
  }),
  accept('names that objects have', fields('__proto__: 1\r\nconstructor: 2\r\ntoString: 3'), {
    fields: [
      ['Host', 'a'],
      ['__proto__', '1'],
      ['constructor', '2'],
      ['toString', '3'],
    ],
  }),
  accept('a name that begins like a framing field', fields('Content-Lengthx: x\r\nTransfer-Encodin: y'), {
    contentLength: -1,
    chunked: false,
  }),
  accept('Host behind other fields', 'GET / HTTP/1.1\r\nA: 1\r\nHOST: a\r\nB: 2\r\n\r\n', {
    fields: [
      ['A', '1'],
      ['HOST', 'a'],
      ['B', '2'],
    ],
  }),
  accept('Connection: close', fields('Connection: close'), { connection: CONNECTION_CLOSE }),
  accept('Connection: Keep-Alive', fields('Connection: Keep-Alive'), { connection: CONNECTION_KEEP_ALIVE }),
  accept('Connection: CLOSE in a list', fields('Connection: x , CLOSE'), { connection: CONNECTION_CLOSE | CONNECTION_OTHER }),
  accept('Connection: Upgrade', fields('Connection: Upgrade'), { connection: CONNECTION_UPGRADE }),
  accept('Connection with tabs, empty members and te', fields('Connection: ,\tkeep-alive\t,, TE,'), { connection: CONNECTION_KEEP_ALIVE }),
  accept('two Connection fields', fields('Connection: close\r\nConnection: upgrade'), {
    connection: CONNECTION_CLOSE | CONNECTION_UPGRADE,
  }),
  accept('a close inside a longer word is not close', fields('Connection: closed'), { connection: CONNECTION_OTHER }),
  accept('a close behind a no-break space is not close', fields('Connection: \xa0close'), { connection: CONNECTION_OTHER }),
  accept('a close in quotes is not close', fields('Connection: "close"'), { connection: CONNECTION_OTHER }),
  accept('an empty Connection', fields('Connection:'), { connection: 0 }),

  // Field lines that must not pass.
  refuse('a space before the colon', fields('X : v'), HEAD_INVALID),
  refuse('a tab before the colon', fields('X\t: v'), HEAD_INVALID),
  refuse('a space before the colon of Content-Length', post('Content-Length : 1', 'x'), HEAD_INVALID),
  refuse('a space before the colon of Transfer-Encoding', post('Transfer-Encoding : chunked', '0\r\n\r\n'), HEAD_INVALID),
  refuse('a space before the first name', 'GET / HTTP/1.1\r\n Host: a\r\n\r\n', HEAD_INVALID),
  refuse('a folded line (space)', fields('X: a\r\n b'), HEAD_INVALID),
  refuse('a folded line (tab)', fields('X: a\r\n\tb'), HEAD_INVALID),
  refuse('a folded Transfer-Encoding', post('Transfer-Encoding:\r\n chunked', '0\r\n\r\n'), HEAD_INVALID),
  refuse('a folded empty line', fields('X: a\r\n '), HEAD_INVALID),
  refuse('an empty name', fields(': v'), HEAD_INVALID),
  refuse('an empty name alone', fields(':'), HEAD_INVALID),
  refuse('no colon', fields('X'), HEAD_INVALID),
  refuse('no colon, two words', fields('X v'), HEAD_INVALID),
  refuse('an equals sign for the colon', fields('X=v'), HEAD_INVALID),
  refuse('a colonless last line', 'GET / HTTP/1.1\r\nHost: a\r\nX\r\n\r\n', HEAD_INVALID),
  ...['\0', '\x01', '\x08', '\x0b', '\x0c', '\x1b', '\x1f', '\x7f'].flatMap((char) => [
    refuse(`control ${char.charCodeAt(0)} in a value`, fields(`X: a${char}b`), HEAD_INVALID),
    refuse(`control ${char.charCodeAt(0)} at the end of a value`, fields(`X: a${char}`), HEAD_INVALID),
    refuse(`control ${char.charCodeAt(0)} in a name`, fields(`X${char}Y: a`), HEAD_INVALID),
  ]),
  ...['(', ')', '<', '>', '@', ',', ';', '\\', '"', '/', '[', ']', '?', '=', '{', '}', ' ', '\x80', '\xa0', '\xff'].map((char) =>
    refuse(`character ${char.charCodeAt(0)} in a name`, fields(`X${char}Y: a`), HEAD_INVALID),
  ),
  refuse('a bare LF behind a value', fields('X: a\nY: b'), HEAD_INVALID),
  refuse('a bare LF hiding a framing field', fields('X: a\nTransfer-Encoding: chunked'), HEAD_INVALID),
  refuse('a bare CR in a value', fields('X: a\rb'), HEAD_INVALID),
  refuse('a bare CR hiding a framing field', fields('X: a\rTransfer-Encoding: chunked'), HEAD_INVALID),
  refuse('CR CR LF behind a value', fields('X: a\r'), HEAD_INVALID),
  refuse('a bare CR in a name', fields('X\rY: a'), HEAD_INVALID),
  refuse('a bare LF in a name', fields('X\nY: a'), HEAD_INVALID),
  refuse('a bare LF as the empty line', 'GET / HTTP/1.1\r\nHost: a\r\n\n', HEAD_INVALID),
  refuse('a bare CR as the empty line', 'GET / HTTP/1.1\r\nHost: a\r\n\rX: b\r\n\r\n', HEAD_INVALID),
  refuse('CR CR LF as the empty line', 'GET / HTTP/1.1\r\nHost: a\r\n\r\r\n', HEAD_INVALID),
  refuse('LF CR for CR LF', 'GET / HTTP/1.1\n\rHost: a\n\r\n\r', HEAD_INVALID),
  refuse('UTF-8 line separators are no line ends', 'GET / HTTP/1.1\xe2\x80\xa8Host: a\r\n\r\n', HEAD_INVALID),

  // Limits.
  accept('as many fields as allowed', fields(many(9)), {}, { headers: 10 }),
  refuse('one field too many', fields(many(10)), HEAD_TOO_LARGE, { headers: 10 }),
  accept('100 fields by default', fields(many(99))),
  refuse('101 fields by default', fields(many(100)), HEAD_TOO_LARGE),
  accept('a head of exactly the limit', fields(`X: ${'v'.repeat(100)}`), {}, { headBytes: fields(`X: ${'v'.repeat(100)}`).length }),
  refuse('a head of one byte above the limit', fields(`X: ${'v'.repeat(101)}`), HEAD_TOO_LARGE, {
    headBytes: fields(`X: ${'v'.repeat(100)}`).length,
  }),
  refuse('an unfinished value above the limit', fields(`X: ${'v'.repeat(500)}`).slice(0, -4), HEAD_TOO_LARGE, { headBytes: 200 }),
  refuse('an unfinished name above the limit', `GET / HTTP/1.1\r\n${'X'.repeat(500)}`, HEAD_TOO_LARGE, { headBytes: 200 }),
  refuse('an unfinished run of spaces above the limit', `GET / HTTP/1.1\r\nX:${' '.repeat(500)}`, HEAD_TOO_LARGE, { headBytes: 200 }),
  refuse('an unfinished head below the limit', fields(`X: ${'v'.repeat(100)}`).slice(0, -4), HEAD_INCOMPLETE, { headBytes: 200 }),
  accept(
    'a large body behind a head within the limit',
    post('Content-Length: 500', 'b'.repeat(500)),
    { contentLength: 500, rest: 'b'.repeat(500) },
    { headBytes: 100 },
  ),
  accept('a value of 8 KiB', fields(`Cookie: ${'c'.repeat(8192)}`)),
  refuse('a value of 64 KiB', fields(`Cookie: ${'c'.repeat(65536)}`), HEAD_TOO_LARGE),

  // What follows the head.
  accept('a pipelined request stays', `${fields('X: v')}${fields('Y: w')}`, {
    rest: fields('Y: w'),
    fields: [
      ['Host', 'a'],
      ['X', 'v'],
    ],
  }),
  accept('garbage behind a complete head stays', `${fields('X: v')}\0\r\n\xff`, { rest: '\0\r\n\xff' }),
  accept('a body that looks like fields stays', post('Content-Length: 13', 'X: y\r\nZ: w\r\n\r'), {
    rest: 'X: y\r\nZ: w\r\n\r',
    contentLength: 13,
  }),
]
