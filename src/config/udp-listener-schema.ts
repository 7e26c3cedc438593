/** `listeners.<name>` with `protocol: udp`: datagrams to a service. */
import { z } from 'zod'
import { addressRange, integer, listenAddress, name, ofProtocol, oneOrMany, positiveDuration } from './schema-kit.ts'
import type { UdpListenerConfig } from './udp-types.ts'

const ranges = oneOrMany(addressRange, 'expected an address range or a list of them', 0)

export const udpListenerSchema = ofProtocol('udp', {
  address: listenAddress.describe('Where to listen: `:53` is every address, `127.0.0.1:53` one, port 0 lets the system choose.'),
  protocol: z.literal('udp').describe('Datagrams, passed on as they are.'),
  to: name.describe('The service that datagrams go to. All datagrams from one client address and port go to one endpoint.'),
  allow: ranges.prefault([]).describe('Only clients from these addresses and ranges are served; an empty list serves all.'),
  deny: ranges.prefault([]).describe('Clients from these addresses and ranges are not served, whatever `allow` says.'),
  maxFlows: integer(1, 1_000_000)
    .default(10_000)
    .describe(
      'Most flows over all workers. When there are as many, a new one takes the place of the one that has been silent longest, if that has been silent for a second at least; otherwise its datagrams are dropped.',
    ),
  replies: integer(1, 1000)
    .nullable()
    .default(null)
    .describe(
      'How many replies each datagram gets, 1 for DNS: the flow ends with the last of them. null: nobody knows, only silence ends it.',
    ),
  connectAttempts: integer(1, 10)
    .default(3)
    .describe('Endpoints that are tried for one flow when one cannot be reached, the first included.'),
  idleTimeout: positiveDuration.prefault('30s').describe('How long a flow lives without a datagram in either direction.'),
}).transform(({ idleTimeout, ...o }): Omit<UdpListenerConfig, 'name'> => ({ ...o, idleTimeoutMs: idleTimeout }))
