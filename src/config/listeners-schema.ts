/** `listeners.<name>`: which settings there are depends on the protocol. To add one: its schema, and one line here. */
import { z } from 'zod'
import { forwardListenerSchema } from './forward-listener-schema.ts'
import { httpListenerSchema } from './listener-schema.ts'
import { tcpListenerSchema } from './tcp-listener-schema.ts'
import { udpListenerSchema } from './udp-listener-schema.ts'

export const listenerSchema = z.discriminatedUnion('protocol', [
  httpListenerSchema,
  tcpListenerSchema,
  udpListenerSchema,
  forwardListenerSchema,
])
