/** Requests made by chance: valid ones, and valid ones damaged in a few places. */
import fc from 'fast-check'
import type { DifferenceKind, Message, Outcome } from './oracle.ts'

const TOKEN = "!#$%&'*+-.^_`|~0123456789abcXYZ"
/** Field names that mean nothing to either parser, and thus may repeat. */
const plainName = fc.oneof(
  fc.constantFrom('Accept', 'Cookie', 'X-A', 'x-a', 'Content-Type', 'TE', 'Via', '__proto__'),
  fc.string({ unit: fc.constantFrom(...TOKEN), minLength: 1, maxLength: 12 }).map((text) => `x${text}`),
)
const visible = fc.constantFrom(...Array.from({ length: 94 }, (_, i) => String.fromCharCode(33 + i)), '\x80', '\xa0', '\xe9', '\xff')
const word = fc.string({ unit: visible, maxLength: 20 })
const value = fc.array(word, { maxLength: 3 }).map((words) => words.join(' ').trim())
const blank = fc.constantFrom('', ' ', '  ', '\t', ' \t')
/** A trailing no-break space would be trimmed by `trim` but not by a parser. */
const line = fc
  .tuple(plainName, blank, value, blank)
  .map(([name, before, text, after]) => `${name}:${before}${text.replace(/^\xa0+|\xa0+$/g, '')}${after}\r\n`)
const method = fc.constantFrom('GET', 'POST', 'PUT', 'DELETE', 'OPTIONS', 'PATCH', 'PROPFIND', 'M-SEARCH')
const target = fc.oneof(
  fc.string({ unit: fc.constantFrom(...'abc/%20.-_~!$&()*+,;=:@?[]{}|^`'), maxLength: 20 }).map((text) => `/${text}`),
  fc.constantFrom('http://a/b', 'https://a:8443/?q', 'http://[::1]/'),
)
const data = fc.string({ unit: fc.constantFrom(...'ab\r\n0:; \0\xff'), maxLength: 30 })

function chunk([text, extension]: [string, string]): string {
  return text === '' ? '' : `${text.length.toString(16)}${extension}\r\n${text}\r\n`
}
const chunks = fc.array(fc.tuple(data, fc.constantFrom('', ';a', ';a=b', ';a="b c"')).map(chunk), { maxLength: 3 })
const trailers = fc.oneof(fc.constant(''), fc.constant('X-T: 1\r\n'), fc.constant('A: 1\r\nB:2\r\n'))
const body = fc.oneof(
  fc.constant({ field: '', bytes: '' }),
  data.map((bytes) => ({ field: `Content-Length: ${bytes.length}\r\n`, bytes })),
  fc
    .tuple(chunks, trailers)
    .map(([pieces, tail]) => ({ field: 'Transfer-Encoding: chunked\r\n', bytes: `${pieces.join('')}0\r\n${tail}\r\n` })),
)

/** One or two pipelined requests. */
const request = fc
  .tuple(method, target, fc.array(line, { maxLength: 4 }), body, fc.array(line, { maxLength: 3 }))
  .map(
    ([verb, path, before, { field, bytes }, behind]) =>
      `${verb} ${path} HTTP/1.1\r\n${before.join('')}Host: a\r\n${field}${behind.join('')}\r\n${bytes}`,
  )
export const validRequest = fc.array(request, { minLength: 1, maxLength: 2 }).map((requests) => requests.join(''))

/** What is put in, in place of, or out: what parsers trip over. */
const PIECES = [
  '\r',
  '\n',
  '\r\n',
  '\0',
  ' ',
  '\t',
  '\x0b',
  ':',
  ',',
  ';',
  '0',
  '1',
  'a',
  '\x7f',
  '\xff',
  '+',
  '-',
  '_',
  '0x',
  '"',
  '\r\n ',
  '\n\n',
  '\r\n\r\n',
  'Content-Length: 3\r\n',
  'Content-Length: 0\r\n',
  'Transfer-Encoding: chunked\r\n',
  'Transfer-Encoding: identity\r\n',
  'Host: b\r\n',
  'chunked, ',
  'HTTP/1.0',
  ' HTTP/1.1\r\n',
]
const mutation = fc.tuple(fc.nat(), fc.constantFrom(0, 0, 1, 2), fc.constantFrom('', ...PIECES))
export const mutatedRequest = fc.tuple(request, fc.array(mutation, { minLength: 1, maxLength: 2 })).map(([text, mutations]) => {
  let out = text
  for (const [where, removed, piece] of mutations) {
    const at = where % (out.length + 1)
    out = out.slice(0, at) + piece + out.slice(at + removed)
  }
  return out
})

interface Rule {
  readonly kind: DifferenceKind
  readonly reason: string
  /** `theirs` is what llhttp made of the bytes. */
  applies(bytes: string, theirs: Outcome): boolean
}

const HOST = /^(?:\[[0-9A-Fa-f:.]{2,}\]|[-._~%!$&'()*+,;=0-9A-Za-z]*)(?::\d{0,5})?$/
const TARGET = /^(?:\/[!$-;=?-[\]-~]*|\*)$/

function values(message: Message, name: string): string[] {
  return message.fields.filter((field) => field[0].toLowerCase() === name).map((field) => field[1])
}

function some(test: (message: Message) => boolean): Rule['applies'] {
  return (_bytes, theirs) => theirs.messages.some(test)
}

/** Why a damaged request may be read differently: the reasons of differences.ts as rules, for bytes that nobody listed. */
export const MUTATION_RULES: readonly Rule[] = [
  {
    kind: 'only Sluice refuses',
    reason: 'Host',
    applies: some((message) => values(message, 'host').length > 1 || values(message, 'host').some((text) => !HOST.test(text))),
  },
  {
    kind: 'only Sluice refuses',
    reason: 'target',
    applies: some(({ start: [, path] }) => {
      const absolute = /^https?:\/\/([^/?:][^/?]*)([/?].*)?$/i.exec(path)
      return absolute === null ? !TARGET.test(path) : !HOST.test(absolute[1] as string) || !TARGET.test(`/${absolute[2] ?? ''}`)
    }),
  },
  {
    kind: 'only Sluice refuses',
    reason: 'protocol or version',
    applies: (bytes, theirs) =>
      theirs.messages.some(({ minor }) => minor > 1) || /^[^\r\n]* (?!HTTP\/1\.[01]\r\n)[^ \r\n]*\r\n/.test(bytes),
  },
  { kind: 'only Sluice refuses', reason: 'spaces in the request line', applies: (bytes) => /^[^\r\n]* {2}/.test(bytes) },
  {
    kind: 'only Sluice refuses',
    reason: 'empty lines before a request',
    applies: (bytes) => /^[\r\n]/.test(bytes) || /(?:\r|\n|\r\n\r\n)$/.test(bytes),
  },
  {
    kind: 'only Sluice refuses',
    reason: 'transfer coding',
    applies: (bytes, theirs) =>
      /^Transfer-Encoding:(?![ \t]*chunked[ \t]*\r$)/im.test(bytes) ||
      theirs.messages.some((message) =>
        values(message, 'transfer-encoding').some((text) => message.minor === 0 || text.toLowerCase() !== 'chunked'),
      ),
  },
  { kind: 'only Sluice refuses', reason: 'body on HTTP/1.0', applies: some((message) => message.minor === 0 && message.body !== '') },
  { kind: 'only llhttp refuses', reason: 'method', applies: (_bytes, theirs) => theirs.code === 'HPE_INVALID_METHOD' },
  {
    kind: 'only llhttp refuses',
    reason: 'whitespace around chunked',
    applies: (bytes, { code }) => code === 'HPE_INVALID_TRANSFER_ENCODING' && /^Transfer-Encoding:[ \t]*chunked[ \t]+\r$/im.test(bytes),
  },
  {
    kind: 'only llhttp refuses',
    reason: 'whitespace and quotes in a chunk extension',
    applies: (bytes, { code }) => code === 'HPE_STRICT' && /^[0-9a-f]+;[^\r\n]*[ \t"]/im.test(bytes),
  },
  { kind: 'read differently', reason: 'method', applies: (_bytes, theirs) => theirs.code === 'HPE_INVALID_METHOD' },
  {
    kind: 'only llhttp refuses',
    reason: 'framing fields in trailers, which the caller drops',
    applies: (bytes) => /\r\n0+(?:;[^\r\n]*)?\r\n(?:[^\r\n]+\r\n)*(?:Content-Length|Transfer-Encoding):/i.test(bytes),
  },
  { kind: 'only Sluice waits', reason: 'the forgiven empty line', applies: (bytes) => /\r\n?$/.test(bytes) },
]
