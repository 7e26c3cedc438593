import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { findTrailer, isGrpcContentType } from './fields.ts'
import { MessageCounter } from './message-counter.ts'
import { decodeGrpcMessage, encodeGrpcMessage } from './message-text.ts'
import { GRPC_STATUS_NAMES, grpcStatusOfHttp, httpStatusOfGrpc, isGrpcFailure, NO_GRPC_STATUS, parseGrpcStatus } from './status.ts'
import { formatGrpcTimeout, MAX_GRPC_TIMEOUT_MS, parseGrpcTimeoutMs } from './timeout.ts'

function nameOf(code: number): string {
  return GRPC_STATUS_NAMES[code] as string
}

describe('gRPC statuses', () => {
  it('guess from an HTTP status what was meant', () => {
    const statuses = [200, 400, 401, 403, 404, 413, 418, 429, 431, 500, 502, 503, 504]
    assert.deepEqual(
      statuses.map((status) => `${status} ${nameOf(grpcStatusOfHttp(status))}`),
      [
        '200 UNKNOWN',
        '400 INTERNAL',
        '401 UNAUTHENTICATED',
        '403 PERMISSION_DENIED',
        '404 UNIMPLEMENTED',
        '413 UNKNOWN',
        '418 UNKNOWN',
        '429 UNAVAILABLE',
        '431 INTERNAL',
        '500 UNKNOWN',
        '502 UNAVAILABLE',
        '503 UNAVAILABLE',
        '504 UNAVAILABLE',
      ],
    )
  })

  it('have an HTTP status each', () => {
    assert.deepEqual(
      GRPC_STATUS_NAMES.map((name, code) => `${name} ${httpStatusOfGrpc(code)}`),
      [
        'OK 200',
        'CANCELLED 499',
        'UNKNOWN 500',
        'INVALID_ARGUMENT 400',
        'DEADLINE_EXCEEDED 504',
        'NOT_FOUND 404',
        'ALREADY_EXISTS 409',
        'PERMISSION_DENIED 403',
        'RESOURCE_EXHAUSTED 429',
        'FAILED_PRECONDITION 400',
        'ABORTED 409',
        'OUT_OF_RANGE 400',
        'UNIMPLEMENTED 501',
        'INTERNAL 500',
        'UNAVAILABLE 503',
        'DATA_LOSS 500',
        'UNAUTHENTICATED 401',
      ],
    )
    assert.equal(httpStatusOfGrpc(99), 500)
  })

  it('are read from their field; what is no code is UNKNOWN', () => {
    assert.equal(parseGrpcStatus(undefined), NO_GRPC_STATUS)
    assert.equal(parseGrpcStatus('0'), 0)
    assert.equal(parseGrpcStatus('16'), 16)
    for (const value of ['17', '-1', '01', '1e1', '', 'OK', '100']) assert.equal(nameOf(parseGrpcStatus(value)), 'UNKNOWN', value)
  })

  it('say of five codes that the service is not well', () => {
    const failures = GRPC_STATUS_NAMES.filter((_, code) => isGrpcFailure(code))
    assert.deepEqual(failures, ['UNKNOWN', 'DEADLINE_EXCEEDED', 'INTERNAL', 'UNAVAILABLE', 'DATA_LOSS'])
    assert.equal(isGrpcFailure(NO_GRPC_STATUS), false)
  })
})

describe('grpc-timeout', () => {
  it('is read in every unit', () => {
    const values = ['1H', '2M', '3S', '4m', '5u', '6n', '0m']
    assert.deepEqual(values.map(parseGrpcTimeoutMs), [3_600_000, 120_000, 3000, 4, 0.005, 0.000006, 0])
  })

  it('is at most thirty days', () => {
    assert.equal(parseGrpcTimeoutMs('99999999H'), MAX_GRPC_TIMEOUT_MS)
  })

  it('is not believed when it is malformed', () => {
    for (const value of ['', '1', 'S', '123456789m', '-1S', '1.5S', '1s', ' 1S', '1S ', '1SS'])
      assert.equal(parseGrpcTimeoutMs(value), -1, value)
  })

  it('is written in at most eight digits, never as nothing, and never longer than it was', () => {
    assert.equal(formatGrpcTimeout(300), '300000u')
    assert.equal(formatGrpcTimeout(0.25), '250u')
    assert.equal(formatGrpcTimeout(-5), '1u')
    assert.equal(formatGrpcTimeout(99_999.999), '99999999u')
    assert.equal(formatGrpcTimeout(100_000.5), '100000m')
    assert.equal(formatGrpcTimeout(200_000_000), '200000S')
    for (const ms of [0.001, 1, 17.3, 99_999.9991, 123_456.7, 99_999_999.5, MAX_GRPC_TIMEOUT_MS]) {
      const text = formatGrpcTimeout(ms)
      assert.match(text, /^\d{1,8}[a-zA-Z]$/)
      const back = parseGrpcTimeoutMs(text)
      assert.ok(back <= ms + 1e-9 && back > ms - Math.max(0.001, ms * 0.00001) - 1e-9, `${ms} became ${text}`)
    }
  })
})

describe('grpc-message', () => {
  it('is percent-encoded UTF-8, with visible ASCII as it is', () => {
    assert.equal(encodeGrpcMessage('service "a" failed: 100%'), 'service "a" failed: 100%25')
    assert.equal(encodeGrpcMessage('Grüße\r\n小鱼'), 'Gr%C3%BC%C3%9Fe%0D%0A%E5%B0%8F%E9%B1%BC')
  })

  it('comes back as it was', () => {
    for (const text of ['', 'plain', '100% of 小鱼', 'a\tb\nc', '\u{1F41F}']) assert.equal(decodeGrpcMessage(encodeGrpcMessage(text)), text)
  })

  it('is kept as it is where it is not well encoded', () => {
    assert.equal(decodeGrpcMessage('50% off, %zz, %4'), '50% off, %zz, %4')
  })
})

describe('a content type', () => {
  it('is that of gRPC with or without a format or parameters, and not that of gRPC-Web', () => {
    for (const type of [
      'application/grpc',
      'application/grpc+proto',
      'application/grpc;a=b',
      'Application/gRPC+json',
      'application/grpc ; a=b',
    ]) {
      assert.equal(isGrpcContentType(type), true, type)
    }
    for (const type of [
      undefined,
      '',
      'application/json',
      'application/grpc-web',
      'application/grpc-web+proto',
      'application/grpcx',
      'xapplication/grpc',
    ]) {
      assert.equal(isGrpcContentType(type), false, type)
    }
  })
})

describe('a trailer', () => {
  it('is found by its name in any case, and only as a whole field', () => {
    const lines = 'x-grpc-status: 7\r\nGrpc-Status:  14 \r\ngrpc-message: grpc-details: 3\r\n'
    assert.equal(findTrailer(lines, 'grpc-status'), '14')
    assert.equal(findTrailer(lines, 'grpc-message'), 'grpc-details: 3')
    assert.equal(findTrailer(lines, 'grpc-details'), undefined)
    assert.equal(findTrailer('', 'grpc-status'), undefined)
  })
})

describe('messages of a call', () => {
  const stream = Buffer.concat([
    Buffer.from('000000001b0a19', 'hex'),
    Buffer.from('this is examples/metadata'),
    Buffer.from('0000000000', 'hex'),
    Buffer.from('0100000003616263', 'hex'),
  ])

  it('are counted whatever the split, and their ends are seen', () => {
    for (let size = 1; size <= stream.length; size++) {
      const counter = new MessageCounter()
      const whole: number[] = []
      for (let at = 0; at < stream.length; at += size) {
        const end = Math.min(at + size, stream.length)
        counter.read(stream, at, end)
        if (counter.isBetweenMessages) whole.push(end)
      }
      assert.equal(counter.messages, 3, `in pieces of ${size}`)
      for (const end of whole) assert.ok([32, 37, stream.length].includes(end), `a message ends at ${end}`)
      assert.equal(whole.at(-1), stream.length)
    }
  })

  it('of 4 GiB are only begun', () => {
    const counter = new MessageCounter()
    counter.read(Buffer.from('00ffffffff', 'hex'), 0, 5)
    counter.read(stream, 0, stream.length)
    assert.equal(counter.messages, 1)
    assert.equal(counter.isBetweenMessages, false)
  })

  it('are not whole inside a head', () => {
    const counter = new MessageCounter()
    counter.read(Buffer.from([0]), 0, 1)
    assert.equal(counter.isBetweenMessages, false)
  })
})
