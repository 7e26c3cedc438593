/**
 * HTTP/1.1 test vectors: literal bytes and what the codec must make of them. Text is latin1: one character is one byte.
 *
 * `accept` names only what the vector is about; every other property is compared between the whole and the split parse.
 */
import type { HeadLimits } from '../../../src/codec/http1/head.ts'

export interface HeadExpectation {
  readonly method?: string
  readonly target?: string
  readonly status?: number
  readonly reason?: string
  readonly minor?: number
  readonly contentLength?: number
  readonly chunked?: boolean
  readonly connection?: number
  readonly hasUnderscore?: boolean
  readonly fields?: readonly (readonly [string, string])[]
  /** The bytes that follow the head. Default: none. */
  readonly rest?: string
}

export interface HeadVector {
  readonly name: string
  readonly bytes: string
  /** A HEAD_ result (zero or below), or what the head holds. */
  readonly expected: number | HeadExpectation
  readonly limits?: Partial<HeadLimits>
}

export interface ChunkedVector {
  readonly name: string
  readonly bytes: string
  /** 'error', 'more' (a valid beginning), or the body. */
  readonly expected: 'error' | 'more' | { readonly data: string; readonly trailers?: string; readonly rest?: string }
  readonly maxTrailerBytes?: number
}

/** The limits a vector runs with unless it brings its own: the product's defaults. */
export const LIMITS: HeadLimits = { headBytes: 61_440, headers: 100, uriBytes: 8192 }

export function accept(name: string, bytes: string, expected: HeadExpectation = {}, limits?: Partial<HeadLimits>): HeadVector {
  return limits === undefined ? { name, bytes, expected } : { name, bytes, expected, limits }
}

export function refuse(name: string, bytes: string, expected: number, limits?: Partial<HeadLimits>): HeadVector {
  return limits === undefined ? { name, bytes, expected } : { name, bytes, expected, limits }
}

/** A request whose own field lines are the point of the vector. `lines` carries no final CRLF. */
export function post(lines: string, body = ''): string {
  return `POST /p HTTP/1.1\r\nHost: a\r\n${lines}\r\n\r\n${body}`
}

/** A response whose field lines are the point of the vector. */
export function ok(lines: string, body = ''): string {
  return `HTTP/1.1 200 OK\r\n${lines}\r\n\r\n${body}`
}
