import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { create, fromBinary, type JsonObject, type JsonValue, toBinary, toJson } from '@bufbuild/protobuf'
import { makeDescriptors } from '../../../test/e2e/grpc/descriptors.ts'
import { type Binding, compileDescriptors, DescriptorError } from './bindings.ts'
import { FieldError } from './fields.ts'
import { decodeResponse, encodeRequest, type JsonOptions, readUrl } from './messages.ts'

const bytes = makeDescriptors(['library.proto', 'echo.proto'])
const transcoding = compileDescriptors(bytes, null)
const { registry } = transcoding
const OPTIONS: JsonOptions = { registry, ignoreUnknown: false, emitDefaults: false }

function bind(method: string, path: string): { binding: Binding; segments: string[] } {
  const found = transcoding.table.find(method, path)
  assert.ok(found !== null && 'value' in found, `${method} ${path} is bound`)
  return { binding: found.value, segments: found.segments }
}

/** What arrives at the service, as JSON. */
function request(method: string, target: string, body: JsonValue | undefined = undefined, options = OPTIONS): JsonValue {
  const [path = '', query = ''] = target.split('?')
  const { binding, segments } = bind(method, path)
  const text = body === undefined ? '' : typeof body === 'string' ? body : JSON.stringify(body)
  const message = encodeRequest(binding, readUrl(binding, segments, query, options), text, options)
  return toJson(binding.method.input, fromBinary(binding.method.input, message), { registry })
}

/** The error of a request that is refused. */
function refusal(method: string, target: string, body?: JsonValue): string {
  try {
    request(method, target, body)
  } catch (error) {
    assert.ok(error instanceof FieldError, String(error))
    return error.message
  }
  return assert.fail('it was taken')
}

describe('what of a request becomes the message', () => {
  it('is the path, its patterns included', () => {
    assert.deepEqual(request('GET', '/v1/shelves/1/books/a%20b'), { book: 'shelves/1/books/a b' })
    assert.deepEqual(request('LOCATE', '/v1/files/a/b%2Fc/d'), { book: 'a/b%2Fc/d' })
    assert.deepEqual(request('POST', '/v1/shelves/1/books/2:lend', {}), { book: 'shelves/1/books/2' })
  })
  it('is the query: nested, repeated, enums by name and number, with + for a space', () => {
    assert.deepEqual(
      request(
        'GET',
        '/v1/shelves/1/books?content.author.name=Ann+O%27Hara&content.tags=a&content.tags=b&kinds=NOVEL&kinds=2&limit=18446744073709551615&all=true',
      ),
      {
        shelf: 'shelves/1',
        content: { author: { name: "Ann O'Hara" }, tags: ['a', 'b'] },
        kinds: ['NOVEL', 'ATLAS'],
        limit: '18446744073709551615',
        all: true,
      },
    )
  })
  it('is the query also by JSON names, and for types that are one text', () => {
    assert.deepEqual(
      request(
        'GET',
        '/v1/books?content.readingTime=1.5s&content.published=2026-01-02T03:04:05Z&content.pages=7&mask=content.tags,content.name&content.cover=AQI%3D',
      ),
      {
        content: { readingTime: '1.500s', published: '2026-01-02T03:04:05Z', pages: 7, cover: 'AQI=' },
        mask: 'content.tags,content.name',
      },
    )
  })
  it('is the body, with the path over it', () => {
    assert.deepEqual(request('POST', '/v1/shelves/1/books/2:lend', { book: 'another', all: true, content: { tags: ['x'] } }), {
      book: 'shelves/1/books/2',
      all: true,
      content: { tags: ['x'] },
    })
  })
  it('is one field of the body, with path and query beside it', () => {
    assert.deepEqual(request('PUT', '/v1/shelves/1/books/dune?all=true', { author: { name: 'Frank' }, name: 'other' }), {
      shelf: 'shelves/1',
      all: true,
      content: { name: 'dune', author: { name: 'Frank' } },
    })
  })
  it('is what proto3 JSON says of every type', () => {
    const book = {
      name: 'a',
      kind: 'ATLAS',
      copies: '9007199254740993',
      cover: 'AQIDBA==',
      translators: { de: { name: 'B' } },
      published: '2026-01-02T03:04:05.500Z',
      readingTime: '3.250s',
      pages: 0,
      extra: { '@type': 'type.googleapis.com/library.Author', name: 'C', born: 1 },
      weight: 'NaN',
    }
    assert.deepEqual(request('POST', '/library.Library/Plain', book), book)
  })
  it('is empty for an empty body', () => assert.deepEqual(request('POST', '/library.Library/Plain'), {}))
})

describe('a request that is no such message', () => {
  it('is refused with the way to the field', () => {
    const plain = (json: JsonValue) => refusal('POST', '/library.Library/Plain', json)
    assert.match(plain('{"a'), /^the body is not JSON: /)
    assert.match(plain([1]), /^a list is no library.Book$/)
    assert.equal(plain({ titel: 1 }), 'titel: library.Book has no such field')
    assert.equal(plain({ author: { nam: 1 } }), 'author.nam: library.Author has no such field')
    assert.match(plain({ author: { name: 1 } }), /^author\.name: expected string/)
    assert.match(plain({ editors: [{ name: 'a' }, { born: 'x' }] }), /^editors\[1\]\.born: /)
    assert.match(plain({ translators: { de: { born: 1.5 } } }), /^translators\.de\.born: /)
    assert.match(plain({ kind: 'COMIC' }), /^kind: /)
    assert.match(plain({ published: 'yesterday' }), /^published: /)
    assert.match(plain({ copies: '1e999' }), /^copies: /)
    assert.match(plain({ extra: { '@type': 'type.googleapis.com/no.Such' } }), /^extra: /)
  })
  it('is refused for what the URL says', () => {
    assert.match(refusal('GET', '/v1/books?no=1'), /^no: is no parameter/)
    assert.match(refusal('GET', '/v1/shelves/1/books?shelf=x'), /^shelf: is no parameter/)
    assert.match(refusal('GET', '/v1/books?content=x'), /^content: is no parameter/)
    assert.match(refusal('GET', '/v1/books?content.published.seconds=1'), /^content\.published\.seconds: is no parameter/)
    assert.match(refusal('GET', '/v1/books?all=yes'), /^all: "yes" is neither/)
    assert.match(refusal('GET', '/v1/books?limit=-1'), /^limit: /)
    assert.match(refusal('GET', '/v1/books?kinds=COMIC'), /^kinds: /)
    assert.match(refusal('GET', '/v1/books?limit=1&limit=2'), /^limit: is given twice/)
    assert.match(refusal('GET', '/v1/books?content.author.born=x'), /^content\.author\.born: /)
    assert.match(refusal('GET', '/v1/books?content.name=%ff'), /^content\.name: the query is not well encoded/)
    assert.match(refusal('POST', '/v1/shelves/1/books/2:lend?all=true', {}), /^all: is no parameter of the query: the message is the body/)
    assert.match(refusal('GET', '/v1/books', '{}'), /takes no body/)
  })
  it('passes without what is unknown, if that is asked for', () => {
    const lenient = { ...OPTIONS, ignoreUnknown: true }
    assert.deepEqual(request('GET', '/v1/books?no=1&all=true', undefined, lenient), { all: true })
    assert.deepEqual(request('POST', '/library.Library/Plain', { no: 1, name: 'a' }, lenient), { name: 'a' })
  })
  it('cannot nest without end', () => {
    const deep = `${'{"content":{"author":'.repeat(1)}${'['.repeat(5000)}${']'.repeat(5000)}}}`
    assert.throws(() => request('POST', '/v1/shelves/1/books/2:lend', deep), FieldError)
  })
})

describe('what of a message becomes the response', () => {
  const response = (method: string, path: string, json: JsonObject, options = OPTIONS): JsonValue => {
    const { binding } = bind(method, path)
    const { output } = binding.method
    const message = create(output, json as never)
    return JSON.parse(decodeResponse(binding, toBinary(output, message), options)) as JsonValue
  }
  it('is all of it, or one field', () => {
    assert.deepEqual(response('GET', '/v1/shelves/1/books/2', { name: 'a' }), { name: 'a' })
    assert.deepEqual(response('GET', '/v1/books', { books: [{ name: 'a' }] }), [{ name: 'a' }])
    assert.deepEqual(response('GET', '/v1/books', {}), [])
  })
  it('has default values when asked for', () => {
    const json = response('GET', '/v1/shelves/1/books/2', {}, { ...OPTIONS, emitDefaults: true }) as JsonObject
    assert.deepEqual(
      [json['name'], json['kind'], json['copies'], json['tags'], json['translators'], json['lent']],
      ['', 'KIND_UNSPECIFIED', '0', [], {}, false],
    )
  })
})

describe('descriptors', () => {
  it('can be called by the path of gRPC where there is no rule', () => {
    assert.equal(bind('POST', '/echo.Echo/BidirectionalStreamingEcho').binding.method.isClientStreaming, true)
    assert.equal(transcoding.table.find('POST', '/echo.Echo/UnaryEcho'), null)
  })
  it('are refused when they cannot be used', () => {
    assert.throws(() => compileDescriptors(Buffer.from('not descriptors'), null), DescriptorError)
    assert.throws(() => compileDescriptors(Buffer.alloc(0), null), /holds no descriptors/)
    assert.throws(
      () => compileDescriptors(makeDescriptors(['echo.proto'], { imports: false }), null),
      /lacks google\/api\/annotations\.proto/,
    )
    assert.throws(() => compileDescriptors(makeDescriptors(['google/api/http.proto']), null), /describes no service/)
    assert.throws(() => compileDescriptors(bytes, ['echo.Ekko']), /has no service echo\.Ekko; it has library\.Library, echo\.Echo/)
  })
  it('can be cut down to some services', () => {
    const { bindings } = compileDescriptors(bytes, ['echo.Echo'])
    assert.deepEqual([...new Set(bindings.map(({ method }) => method.service))], ['echo.Echo'])
  })
})
