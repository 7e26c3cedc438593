/**
 * Nanoseconds per HTTP/2 field block: `node bench/micro/codec/hpack.ts`.
 *
 * Decoding is into a head whose text is then read once, as every use of it does: until then it is a chain of lines. Encoding is of heads
 * whose text was made just before, as on a connection to an endpoint. Rounds of all variants alternate; minimum and median count.
 */
import type { WireBuffer } from '../../../src/base/wire.ts'
import { ByteWriter } from '../../../src/codec/byte-writer.ts'
import { parseRequestHead, parseResponseHead, RequestHead, ResponseHead } from '../../../src/codec/http1/head.ts'
import { HpackDecoder } from '../../../src/codec/http2/hpack-decoder.ts'
import { HpackEncoder } from '../../../src/codec/http2/hpack-encoder.ts'
import { huffmanDecode, huffmanEncode, huffmanLength, huffmanRoom } from '../../../src/codec/http2/huffman.ts'
import { BLOCK_OK, encodeRequestBlock, encodeResponseBlock, readRequestBlock, readResponseBlock } from '../../../src/codec/http2/message.ts'
import { BROWSER, RESPONSE } from './inputs.ts'

const LIMITS = { headBytes: 61_440, headers: 100, uriBytes: 8192 }
const ROUNDS = 15
const COUNT = 40_000

interface Variant {
  readonly name: string
  run(i: number): number
  readonly times: number[]
}
const variants: Variant[] = []
function add(name: string, run: (i: number) => number): void {
  variants.push({ name, run, times: [] })
}

function copyOf(writer: ByteWriter): WireBuffer {
  return Buffer.from(writer.bytes.subarray(0, writer.at)) as WireBuffer
}

/** Pseudo fields, then 12 fields, as a browser sends them; all are indexed by the third time. The cookie is another case. */
const browser = new RequestHead()
parseRequestHead(BROWSER.replace(/Connection: .*\r\n|Cookie: .*\r\n/g, ''), browser, LIMITS)

/** A block of indices: an encoder that indexes everything, as browsers do, and the decoder that has seen what it refers to. */
function indexedRequest(): { decoder: HpackDecoder; block: WireBuffer } {
  const encoder = new HpackEncoder()
  const decoder = new HpackDecoder()
  const writer = new ByteWriter()
  const head = new RequestHead()
  for (let i = 0; i < 4; i++) {
    writer.reset()
    encodeRequestBlock(encoder, 'GET', 'https', 'shop.example.com', '/', '', browser.headers, -1, writer)
    if (readRequestBlock(decoder, writer.bytes, 0, writer.at, head, LIMITS) !== BLOCK_OK) throw new Error('the block is refused')
  }
  return { decoder, block: copyOf(writer) }
}

const request = new RequestHead()
const response = new ResponseHead()
const indexed = indexedRequest()
add(`decode a request, all indexed (${indexed.block.length} bytes, 4 pseudo and 12 other fields)`, () => {
  readRequestBlock(indexed.decoder, indexed.block, 0, indexed.block.length, request, LIMITS)
  return request.headers.text.charCodeAt(7)
})

const withPath = indexedRequest()
const pathWriter = new ByteWriter()
pathWriter.u8(0x04)
const PATH = browser.target
pathWriter.u8(0x80 | huffmanLength(PATH, 0, PATH.length))
huffmanEncode(PATH, 0, PATH.length, huffmanLength(PATH, 0, PATH.length), pathWriter)
const pathBlock = Buffer.concat([withPath.block.subarray(0, 2), copyOf(pathWriter), withPath.block.subarray(3)]) as WireBuffer
add(`decode a request, path of ${PATH.length} characters literal`, () => {
  readRequestBlock(withPath.decoder, pathBlock, 0, pathBlock.length, request, LIMITS)
  return request.headers.text.charCodeAt(7)
})

const firstWriter = new ByteWriter()
encodeRequestBlock(new HpackEncoder(), 'GET', 'https', 'shop.example.com', PATH, '', browser.headers, -1, firstWriter)
const first = copyOf(firstWriter)
const firstDecoder = new HpackDecoder()
add(`decode a request, all literal (${first.length} bytes)`, () => {
  readRequestBlock(firstDecoder, first, 0, first.length, request, LIMITS)
  return request.headers.text.charCodeAt(7)
})

const responseBytes = Buffer.from(RESPONSE, 'latin1')
const writer = new ByteWriter()
const parsed = new ResponseHead()
add('parse the HTTP/1 response (contained in the next two)', () => parseResponseHead(RESPONSE, parsed, LIMITS))
const sameEncoder = new HpackEncoder()
add('parse and encode a response of 8 fields, the same each time', () => {
  parseResponseHead(RESPONSE, parsed, LIMITS)
  writer.reset()
  encodeResponseBlock(sameEncoder, parsed, writer)
  return writer.at
})
const LINES = Array.from({ length: 64 }, (_, i) => `X-Request-Id: 0b6c7c9e-54c1-4a5e-8d7a-${String(100_000_000_000 + i * 7919)}\r\n`)
const idEncoder = new HpackEncoder()
let id = 0
add('the same with an X-Request-Id line, new each time', () => {
  parseResponseHead(RESPONSE, parsed, LIMITS)
  parsed.headers.addLines(LINES[id++ & 63] as string, 0)
  writer.reset()
  encodeResponseBlock(idEncoder, parsed, writer)
  return writer.at
})
const kept = new ResponseHead()
parseResponseHead(responseBytes.toString('latin1'), kept, LIMITS)
const keptEncoder = new HpackEncoder()
add('encode a response of 8 fields, the same each time', () => {
  writer.reset()
  encodeResponseBlock(keptEncoder, kept, writer)
  return writer.at
})
const others: ResponseHead[] = Array.from({ length: 16 }, (_, i) => {
  const head = new ResponseHead()
  parseResponseHead(RESPONSE.replace('text/plain', `text/x-${i % 3}`).replace('65f0', `65f0${i}`), head, LIMITS)
  return head
})
const mixedEncoder = new HpackEncoder()
let turn = 0
add('encode responses of 8 fields that differ in two', () => {
  writer.reset()
  encodeResponseBlock(mixedEncoder, others[turn++ & 15] as ResponseHead, writer)
  return writer.at
})
const freshHead = new ResponseHead()
parseResponseHead(RESPONSE, freshHead, LIMITS)
add('encode a response of 8 fields, first of its connection', () => {
  writer.reset()
  encodeResponseBlock(new HpackEncoder(), freshHead, writer)
  return writer.at
})

const requestEncoder = new HpackEncoder()
add('encode a request of 12 fields, the same each time', () => {
  writer.reset()
  encodeRequestBlock(requestEncoder, 'GET', 'https', 'shop.example.com', PATH, '', browser.headers, -1, writer)
  return writer.at
})

const responseBlockEncoder = new HpackEncoder()
const responseDecoder = new HpackDecoder()
const blockWriter = new ByteWriter()
for (let i = 0; i < 4; i++) {
  blockWriter.reset()
  encodeResponseBlock(responseBlockEncoder, kept, blockWriter)
  readResponseBlock(responseDecoder, blockWriter.bytes, 0, blockWriter.at, response, LIMITS)
}
const responseBlock = copyOf(blockWriter)
add(`decode a response of 8 fields (${responseBlock.length} bytes)`, () => {
  readResponseBlock(responseDecoder, responseBlock, 0, responseBlock.length, response, LIMITS)
  return response.headers.text.charCodeAt(7)
})

const UUID = '0b6c7c9e-54c1-4a5e-8d7a-100000007919'
const uuidLength = huffmanLength(UUID, 0, UUID.length)
add('Huffman-encode 36 characters', () => {
  writer.reset()
  huffmanEncode(UUID, 0, UUID.length, huffmanLength(UUID, 0, UUID.length), writer)
  return writer.at
})
const AGENT = /User-Agent: (.*)\r/.exec(BROWSER)?.[1] as string
const agentWriter = new ByteWriter()
huffmanEncode(AGENT, 0, AGENT.length, huffmanLength(AGENT, 0, AGENT.length), agentWriter)
const agent = copyOf(agentWriter)
const room = Buffer.alloc(huffmanRoom(agent.length))
add(`Huffman-decode ${AGENT.length} characters`, () => huffmanDecode(agent, 0, agent.length, room, 0))

let sink = 0
for (let round = 0; round < ROUNDS; round++) {
  for (const { run, times } of variants) {
    const from = process.hrtime.bigint()
    for (let i = 0; i < COUNT; i++) sink += run(i)
    // The first rounds compile.
    if (round >= 3) times.push(Number(process.hrtime.bigint() - from) / COUNT)
  }
}

process.stdout.write(`check ${(sink + uuidLength) % 10}\n`)
for (const { name, times } of variants) {
  times.sort((a, b) => a - b)
  const format = (value: number | undefined): string => (value ?? 0).toFixed(0).padStart(6)
  process.stdout.write(`${name.padEnd(80)} min ${format(times[0])} ns   median ${format(times[times.length >> 1])} ns\n`)
}
