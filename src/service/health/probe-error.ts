import { tlsFailureOf } from '../service-tls.ts'
import type { ProbeOutcome } from './probe.ts'

/** What keeps a check from being made at all. The endpoints must not pay for a gateway that has run out of descriptors. */
const OWN_FAULTS: Readonly<Record<string, string>> = {
  EMFILE: 'this gateway has no file descriptor left',
  ENFILE: 'this machine has no file descriptor left',
  EADDRNOTAVAIL: 'this machine has no local port left',
  ENOBUFS: 'this machine has no network buffer left',
  ENOMEM: 'this machine has no memory left',
  EAI_AGAIN: 'the name server does not answer',
}

const FAULTS: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'connection refused',
  ECONNRESET: 'connection reset',
  EPIPE: 'connection closed',
  ETIMEDOUT: 'no answer to the connection',
  EHOSTUNREACH: 'no route to the host',
  ENETUNREACH: 'no route to the network',
  EHOSTDOWN: 'the host is down',
  ENOTFOUND: 'the name cannot be resolved',
  EACCES: 'the connection is not permitted',
  EPERM: 'the connection is not permitted',
  HPE_HEADER_OVERFLOW: 'the head of the answer is too large',
}

/** The outcome of a check whose socket or request failed, in words. */
export function failureOf(error: NodeJS.ErrnoException): ProbeOutcome {
  const code = error.code ?? ''
  const own = OWN_FAULTS[code]
  if (own !== undefined) return { result: 'inconclusive', error: `${own} (${code})` }
  if (code === 'ECONNRESET' && error.message === 'socket hang up')
    return { result: 'fail', error: 'the connection was closed without an answer' }
  const tls = tlsFailureOf(error)
  if (tls !== null) return { result: 'fail', error: tls }
  const known = FAULTS[code]
  if (known !== undefined) return { result: 'fail', error: known }
  if (code.startsWith('HPE_')) return { result: 'fail', error: 'the answer is not valid HTTP' }
  return { result: 'fail', error: code === '' || error.message.includes(code) ? error.message : `${error.message} (${code})` }
}
