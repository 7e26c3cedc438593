/** The two messages of grpc.health.v1 as gRPC frames: `HealthCheckRequest { string service = 1 }`, `HealthCheckResponse { enum status = 1 }`. */

/** HealthCheckResponse.ServingStatus. */
export const SERVING = 1
export const HEALTH_STATUS_NAMES: readonly string[] = ['UNKNOWN', 'SERVING', 'NOT_SERVING', 'SERVICE_UNKNOWN']

const FRAME_HEAD_BYTES = 5
/** Field 1, length-delimited and varint. */
const SERVICE_TAG = 0x0a
const STATUS_TAG = 0x08

/** The whole body of the request; `service` has at most some thousand bytes. */
export function encodeHealthRequest(service: string): Buffer {
  const name = Buffer.from(service)
  const length = name.length
  const varint = length < 128 ? [length] : [(length & 127) | 128, length >>> 7]
  const message = length === 0 ? Buffer.alloc(0) : Buffer.concat([Buffer.from([SERVICE_TAG, ...varint]), name])
  const frame = Buffer.alloc(FRAME_HEAD_BYTES + message.length)
  frame.writeUInt32BE(message.length, 1)
  message.copy(frame, FRAME_HEAD_BYTES)
  return frame
}

/** The status in the body of a response: UNKNOWN (0) when the message is empty, -1 when it is no such message. */
export function readHealthStatus(body: Buffer): number {
  if (body.length < FRAME_HEAD_BYTES || body[0] !== 0 || body.readUInt32BE(1) !== body.length - FRAME_HEAD_BYTES) return -1
  if (body.length === FRAME_HEAD_BYTES) return 0
  const status = body[FRAME_HEAD_BYTES + 1]
  if (body.length !== FRAME_HEAD_BYTES + 2 || body[FRAME_HEAD_BYTES] !== STATUS_TAG || status === undefined || status > 127) return -1
  return status
}
