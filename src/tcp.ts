/** The TCP service kit (`sluice/tcp`): servers over a handler for each connection, and message framing. */
export { type ConnectionTimeouts, TcpConnection } from './tcp-kit/connection.ts'
export { abortHandler, FrameError, type FrameErrorCode, TcpError, type TcpErrorCode } from './tcp-kit/errors.ts'
export {
  DEFAULT_MAX_FRAME_BYTES,
  type DelimitedOptions,
  decodeFrames,
  delimited,
  type FixedLengthOptions,
  type FrameDecoder,
  type Framing,
  fixedLength,
  type LengthPrefixedOptions,
  lengthPrefixed,
} from './tcp-kit/framing.ts'
export { createTcpServer, type TcpHandler, TcpServer, type TcpServerOptions } from './tcp-kit/server.ts'
