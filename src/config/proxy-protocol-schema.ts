/** `listeners.<name>.proxyProtocol`: headers that say whose connection it really is. */
import { addressRange, oneOrMany, orNull, strict } from './schema-kit.ts'

export const proxyProtocolSchema = orNull(
  strict({
    from: oneOrMany(addressRange, 'expected an address range or a list of them').describe(
      'Addresses and ranges that send a PROXY protocol header (v1 or v2) first. They must send it, and connections from anywhere else are closed.',
    ),
  }),
)
  .default(null)
  .describe(
    'PROXY protocol headers from load balancers in front: the address in the header is then that of the client, for limits, lists, balancing and logs. null expects none.',
  )
