import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { encodeGrpcFrame } from '../codec/grpc/message-reader.ts'
import type { Filter } from '../exchange/filter.ts'
import { Driver, settle } from './exchange.contract.ts'
import { createGrpcWebFilter } from './grpc-web.ts'

const FRAME = encodeGrpcFrame(Buffer.from('hello'))
const TEXT = FRAME.toString('base64')
const HEAD = `POST /a.B/C HTTP/1.1\nHost: example.com\nContent-Type: application/grpc-web-text\nContent-Length: ${TEXT.length}`
const RESPONSE = '200 OK\nContent-Type: application/grpc\nTransfer-Encoding: chunked'

function slowFilter(): { filter: Filter; go: () => void } {
  let go!: () => void
  const waiting = new Promise<void>((resolve) => {
    go = resolve
  })
  return { filter: { name: 'slow', onRequest: () => waiting, onResponse: null, onFinish: null }, go }
}

describe('grpc-web on the way of a body', () => {
  it('decodes piece by piece, and does not wait for the end', () => {
    const driver = new Driver([createGrpcWebFilter()], HEAD).start()
    driver.requestBody(TEXT.slice(0, 5))
    assert.equal(driver.upstream.body, FRAME.subarray(0, 3).toString('latin1'))
    driver.requestBody(TEXT.slice(5))
    driver.requestEnd()
    assert.equal(driver.upstream.body, FRAME.toString('latin1'))
    assert.equal(driver.upstream.ended, true)
    assert.match(driver.upstream.head, /body=chunked$/)
  })
  it('decodes what came while an earlier filter was waited for', async () => {
    for (const isComplete of [false, true]) {
      const { filter, go } = slowFilter()
      const driver = new Driver([filter, createGrpcWebFilter()], HEAD).start()
      driver.requestBody(TEXT.slice(0, 6))
      if (isComplete) {
        driver.requestBody(TEXT.slice(6))
        driver.requestEnd()
      }
      go()
      await settle()
      if (!isComplete) {
        driver.requestBody(TEXT.slice(6))
        driver.requestEnd()
      }
      assert.equal(driver.upstream.body, FRAME.toString('latin1'), String(isComplete))
      assert.equal(driver.upstream.ended, true)
    }
  })
  it('answers a body that is not base64, also one that came before', async () => {
    const { filter, go } = slowFilter()
    const early = new Driver([filter, createGrpcWebFilter()], HEAD).start()
    early.requestBody('****')
    go()
    await settle()
    assert.equal(early.isSent, false)
    assert.equal(early.client.heads, 1)
    const other = slowFilter()
    const whole = new Driver([other.filter, createGrpcWebFilter()], HEAD).start()
    whole.requestBody('AAAAA')
    whole.requestEnd()
    other.go()
    await settle()
    assert.equal(whole.isSent, false)
    assert.equal(whole.client.heads, 1)
    const late = new Driver([createGrpcWebFilter()], HEAD).start()
    late.requestBody('****')
    assert.equal(late.upstream.cancelled, true)
    assert.equal(late.client.header('content-type'), 'application/grpc-web-text+proto')
    assert.deepEqual([late.client.status, late.client.header('grpc-status') !== '0', late.client.finished], [200, true, 1])
  })
  it('encodes each piece of the response by itself, and passes a pause on', () => {
    const driver = new Driver([createGrpcWebFilter()], HEAD).start()
    driver.requestBody(TEXT)
    driver.requestEnd()
    driver.upstream.respondHead(RESPONSE)
    driver.upstream.respondBody(FRAME.subarray(0, 4).toString('latin1'))
    assert.equal(driver.client.body, FRAME.subarray(0, 4).toString('base64'))
    assert.equal(driver.client.contentLength, -1)
    driver.client.sendBody = () => false
    assert.equal(driver.upstream.respondBody('rest'), false)
  })
  it('encodes what was held for a later filter that is waited for', async () => {
    let go!: () => void
    const waiting = new Promise<void>((resolve) => {
      go = resolve
    })
    const slow: Filter = { name: 'slow', onRequest: null, onResponse: () => waiting, onFinish: null }
    for (const filters of [
      [createGrpcWebFilter(), slow],
      [slow, createGrpcWebFilter()],
    ]) {
      const driver = new Driver(filters, HEAD).start()
      driver.requestBody(TEXT)
      driver.requestEnd()
      driver.upstream.respondHead(RESPONSE)
      driver.upstream.respondBody('\0\0\0\0\x01x')
      go()
      await settle()
      driver.upstream.respondEnd()
      const text = driver.client.body
      assert.ok(text.startsWith('AAAAAAF4'), text)
      assert.match(Buffer.from(text.slice(8), 'base64').toString('latin1'), /^\x80\0\0\0.grpc-status:2\r\n/)
      assert.equal(driver.client.ended, true)
    }
  })
})
