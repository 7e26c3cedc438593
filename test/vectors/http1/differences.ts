/** Where Sluice and Node's parser (llhttp, strict) read a vector differently, and why that is intended. */
import type { DifferenceKind } from './oracle.ts'

export interface IntendedDifference {
  readonly kind: DifferenceKind
  readonly reason: string
  /** `group: name of the vector`. */
  readonly vectors: readonly string[]
}

export const INTENDED_DIFFERENCES: readonly IntendedDifference[] = [
  {
    kind: 'only Sluice refuses',
    reason: 'Another protocol or version: answered 505 or 400 here, llhttp leaves it to the program.',
    vectors: [
      'line: HTTP/0.9 as a version',
      'line: HTTP/2.0',
      'line: another protocol',
      'line: ICE',
      'line: a missing version (HTTP/0.9 simple request)',
      'line: a missing version with fields',
      'response: HTTP/2.0',
      'response: HTTP/0.9',
      'response: RTSP',
    ],
  },
  {
    kind: 'only Sluice refuses',
    reason: 'RFC 9112 section 3 has exactly one space between the parts of the request line; others split on any run of them.',
    vectors: ['line: two spaces before the target', 'line: two spaces before the version'],
  },
  {
    kind: 'only Sluice refuses',
    reason:
      'RFC 9112 section 2.2 forgives one empty line before a request and none before a response; llhttp skips any number of CR and LF.',
    vectors: [
      'line: two empty lines before the request',
      'line: a bare LF before the request',
      'line: a bare CR before the request',
      'line: CR CR LF before the request',
      'response: an empty line before the status line',
    ],
  },
  {
    kind: 'only Sluice refuses',
    reason:
      'A target in a form its method does not have (RFC 9112 section 3.2), or with an authority that is no host: routing would have to guess.',
    vectors: [
      'line: asterisk form with GET',
      'line: asterisk form with a tail',
      'line: a CONNECT without a port',
      'line: a CONNECT with an empty port',
      'line: a CONNECT without a host',
      'line: a CONNECT with a path',
      'line: a CONNECT with an absolute target',
      'line: a CONNECT with a port out of range',
      'line: absolute form with user information',
      'line: absolute form with user information that looks like the host',
      'line: absolute form without a host',
      'line: absolute form with a port only',
      'line: absolute form with a bad port',
      'line: absolute form of another scheme',
    ],
  },
  {
    kind: 'only Sluice refuses',
    reason: 'A character RFC 3986 does not allow in a target, which the next reader may cut at, decode or turn into a slash.',
    vectors: [
      'line: a fragment in the target',
      'line: a backslash in the target',
      'line: a double quote in the target',
      'line: an angle bracket in the target',
    ],
  },
  {
    kind: 'only Sluice refuses',
    reason: 'The length of a target is limited (414); llhttp limits the whole head only.',
    vectors: ['line: a target above the default limit', 'line: an endless target'],
  },
  {
    kind: 'only Sluice refuses',
    reason: 'More than one Host (RFC 9112 section 3.2): two readers may choose different ones. llhttp leaves it to the program.',
    vectors: [
      'host: two Host fields',
      'host: two equal Host fields',
      'host: two Host fields of different case',
      'host: two Host fields on 1.0',
    ],
  },
  {
    kind: 'only Sluice refuses',
    reason:
      'A Host that is not a host with an optional port (RFC 9110 section 7.2): routing would have to guess. llhttp does not look at it.',
    vectors: [
      'host: an invalid Host on 1.0',
      'host: Host" a b"',
      'host: Host" a/b"',
      'host: Host" a\\\\b"',
      'host: Host" a@b"',
      'host: Host" a?b"',
      'host: Host" a#b"',
      'host: Host" http://a"',
      'host: Host" a:80:80"',
      'host: Host" a:8x"',
      'host: Host" a:65536"',
      'host: Host" a:-1"',
      'host: Host" a:+80"',
      'host: Host" a: 80"',
      'host: Host" ::1"',
      'host: Host" [::1"',
      'host: Host" ::1]"',
      'host: Host" [::1]a"',
      'host: Host" [::g]"',
      'host: Host" []"',
      'host: Host" [::1%eth0]"',
      'host: Host" a\xe9"',
      'host: Host" a\\"b"',
      'host: Host" <a>"',
      'host: Host" a\\tb"',
      'host: Host" a:000080"',
    ],
  },
  {
    kind: 'only Sluice refuses',
    reason: 'The number of fields is limited (431); the server of the comparison runs without its own limit.',
    vectors: ['fields: 101 fields by default'],
  },
  {
    kind: 'only Sluice refuses',
    reason: 'A number that is not exact in a double or is padded with zeros; readers with other integers may see another length.',
    vectors: [
      'framing: Content-Length of 16 digits',
      'framing: Content-Length of 2^53',
      'framing: Content-Length of many zeros',
      'chunked request: 14 digits',
      'chunked request: an overflow of 64 bits',
      'chunked request: a very long run of zeros',
      'response: Content-Length: "9007199254740993"',
      'chunked response: 14 digits',
      'chunked response: an overflow of 64 bits',
      'chunked response: a very long run of zeros',
    ],
  },
  {
    kind: 'only Sluice refuses',
    reason: 'A transfer coding besides "chunked", or an empty list member: this gateway re-frames and could not take it apart.',
    vectors: [
      'framing: Transfer-Encoding: "gzip, chunked"',
      'framing: Transfer-Encoding: "identity, chunked"',
      'framing: Transfer-Encoding: ",chunked"',
      'framing: Transfer-Encoding: ", chunked"',
      'framing: Transfer-Encoding: identity, then chunked',
      'framing: Transfer-Encoding: gzip, then chunked in odd case',
      'response: Transfer-Encoding: "identity"',
      'response: Transfer-Encoding: "gzip"',
      'response: Transfer-Encoding: "gzip, chunked"',
      'response: Transfer-Encoding: "chunked, gzip"',
      'response: Transfer-Encoding: "chunked, chunked"',
      'response: Transfer-Encoding: ",chunked"',
      'response: Transfer-Encoding: "chunked,"',
      'response: Transfer-Encoding: "xchunked"',
      'response: Transfer-Encoding: "\xa0chunked"',
    ],
  },
  {
    kind: 'only Sluice refuses',
    reason: 'HTTP/1.0 has no transfer codings (RFC 9112 section 6.1); a 1.0 reader sees another end of the message.',
    vectors: ['framing: Transfer-Encoding on 1.0', 'response: Transfer-Encoding on 1.0'],
  },
  {
    kind: 'only Sluice refuses',
    reason: 'A body on a 1.0 method without one: old readers take it for the next request.',
    vectors: ['framing: GET on 1.0 with a body', 'framing: HEAD on 1.0 with a body', 'framing: DELETE on 1.0 with a body'],
  },
  {
    kind: 'only Sluice refuses',
    reason: 'Chunk extensions are limited: they carry nothing and cost reading.',
    vectors: [
      'chunked request: an extension of 257 bytes',
      'chunked request: an endless extension',
      'chunked response: an extension of 257 bytes',
      'chunked response: an endless extension',
    ],
  },
  {
    kind: 'only Sluice refuses',
    reason: 'A status below 100 does not exist (RFC 9110 section 15).',
    vectors: ['response: status 099', 'response: status 000'],
  },
  {
    kind: 'only Sluice refuses',
    reason: 'A control character in the reason phrase (RFC 9112 section 4); llhttp only stops at line ends.',
    vectors: ['response: a NUL in the reason', 'response: a DEL in the reason'],
  },
  {
    kind: 'only llhttp refuses',
    reason: 'Any token is a method (RFC 9110 section 9.1); llhttp knows a fixed list.',
    vectors: [
      'line: a method that begins like GET',
      'line: a method that begins like POST',
      'line: a lower case method is another method',
      'line: a method of one letter',
      'line: a method of every token character',
      'line: a method of 32 letters',
    ],
  },
  {
    kind: 'only llhttp refuses',
    reason: 'Optional whitespace around the value is allowed (RFC 9112 section 5.1) and taken off before comparing.',
    vectors: ['framing: Transfer-Encoding with spaces around'],
  },
  {
    kind: 'only llhttp refuses',
    reason: 'Bad whitespace inside a chunk extension is to be read (RFC 9112 section 7.1.1); it cannot change the size.',
    vectors: ['chunked request: spaces inside the extension', 'chunked response: spaces inside the extension'],
  },
  {
    kind: 'only llhttp refuses',
    reason: 'A framing field among the trailers means nothing (RFC 9110 section 6.5.1): the caller drops it.',
    vectors: [
      'chunked request: a Content-Length in the trailers is handed on as text',
      'chunked response: a Content-Length in the trailers is handed on as text',
    ],
  },
  {
    kind: 'only llhttp refuses',
    reason: 'What follows the final response is the business of the connection, which is never used again then.',
    vectors: ['chunked response: a request behind the body', 'chunked response: two trailers and a request behind'],
  },
  {
    kind: 'only Sluice waits',
    reason: 'The forgiven empty line has come, a request not yet.',
    vectors: ['line: the beginning "\\r"', 'line: the beginning "\\r\\n"'],
  },
]
