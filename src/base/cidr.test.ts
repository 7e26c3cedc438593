import assert from 'node:assert/strict'
import { BlockList, isIPv4, isIPv6 } from 'node:net'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { createAddressSet, parseCidr } from './cidr.ts'

describe('parseCidr', () => {
  it('reads a single address as a block of one', () => {
    assert.deepEqual(parseCidr('10.0.0.1'), { family: 4, first: 0x0a000001n, last: 0x0a000001n })
    assert.deepEqual(parseCidr('::1'), { family: 6, first: 1n, last: 1n })
  })

  it('ignores the bits below the prefix length', () => {
    assert.deepEqual(parseCidr('10.1.2.3/8'), { family: 4, first: 0x0a000000n, last: 0x0affffffn })
    assert.deepEqual(parseCidr('0.0.0.0/0'), { family: 4, first: 0n, last: 0xffffffffn })
    assert.deepEqual(parseCidr('2001:db8::5/32'), { family: 6, first: 0x20010db8n << 96n, last: (0x20010db9n << 96n) - 1n })
  })

  it('reads an IPv4-mapped block as the IPv4 block', () => {
    assert.deepEqual(parseCidr('::ffff:10.0.0.0/104'), parseCidr('10.0.0.0/8'))
    assert.deepEqual(parseCidr('::FFFF:a00:1'), parseCidr('10.0.0.1'))
  })

  const wrong: [string, RegExp][] = [
    ['', /"" is neither an IPv4 nor an IPv6 address/],
    ['example.com', /neither/],
    ['10.0.0', /neither/],
    ['10.0.0.0.0', /neither/],
    ['10.0.0.256', /neither/],
    ['10.0.0.01', /neither/],
    ['10.0.0.1 ', /neither/],
    ['10.0.0.1:80', /neither/],
    ['1::2::3', /neither/],
    [':1', /neither/],
    ['1:', /neither/],
    [':::', /neither/],
    ['1:2:3:4:5:6:7', /neither/],
    ['1:2:3:4:5:6:7:8:9', /neither/],
    ['1::2:3:4:5:6:7:8', /neither/],
    ['1:2:3:4:5:6:7:8::', /neither/],
    ['1:2:3:4:5:6:7:1.2.3.4', /neither/],
    ['::12345', /neither/],
    ['[::1]', /neither/],
    ['fe80::1%eth0', /zone id has no place/],
    ['10.0.0.0/33', /number from 0 to 32/],
    ['10.0.0.0/', /number from 0 to 32/],
    ['10.0.0.0/-1', /number from 0 to 32/],
    ['10.0.0.0/08', /number from 0 to 32/],
    ['10.0.0.0/8/8', /number from 0 to 32/],
    ['::/129', /number from 0 to 128/],
    ['::ffff:10.0.0.0/90', /number from 96 to 128/],
  ]
  for (const [text, message] of wrong) {
    it(`refuses ${JSON.stringify(text)} and says why`, () => assert.throws(() => parseCidr(text), { name: 'Error', message }))
  }
})

describe('createAddressSet', () => {
  it('is empty for an empty list', () => assert.equal(createAddressSet([]).has('10.0.0.1'), false))

  it('refuses a list with an invalid entry', () => assert.throws(() => createAddressSet(['10.0.0.1', 'x']), /"x" is not an address/))

  it('compares whole addresses, not text prefixes', () => {
    const set = createAddressSet(['127.0.0.1'])
    assert.equal(set.has('127.0.0.1'), true)
    assert.equal(set.has('127.0.0.10'), false)
  })

  it('treats an IPv4-mapped address as the IPv4 address', () => {
    const set = createAddressSet(['10.0.0.0/8'])
    assert.equal(set.has('::ffff:10.1.2.3'), true)
    assert.equal(set.has('::ffff:a01:203'), true)
    assert.equal(set.has('::ffff:11.1.2.3'), false)
    assert.equal(createAddressSet(['::/0']).has('::ffff:10.1.2.3'), false)
  })

  it('ignores the zone id of an address that is looked up', () => {
    const set = createAddressSet(['fe80::/10'])
    assert.equal(set.has('fe80::1%eth0'), true)
    assert.equal(set.has('fe80::1%'), false)
  })

  it('holds nothing that is not an address', () => {
    const set = createAddressSet(['0.0.0.0/0', '::/0'])
    for (const text of ['', 'unix:', 'localhost', '1.2.3', '::g', '1.2.3.4%eth0']) assert.equal(set.has(text), false, text)
  })

  it('leaves out a single address between two blocks', () => {
    const set = createAddressSet(['10.0.0.0', '10.0.0.2', '::4', '::6'])
    assert.deepEqual(
      ['10.0.0.0', '10.0.0.1', '10.0.0.2', '::4', '::5', '::6'].map((address) => set.has(address)),
      [true, false, true, true, false, true],
    )
  })

  it('finds the edges of merged, overlapping and adjacent blocks', () => {
    const set = createAddressSet(['10.0.1.0/24', '10.0.0.0/24', '10.0.0.128/25', '255.255.255.255', '0.0.0.0'])
    for (const inside of ['10.0.0.0', '10.0.0.255', '10.0.1.255', '255.255.255.255', '0.0.0.0']) assert.equal(set.has(inside), true, inside)
    for (const outside of ['9.255.255.255', '10.0.2.0', '255.255.255.254', '0.0.0.1']) assert.equal(set.has(outside), false, outside)
  })
})

describe('address lists against the system', () => {
  const octet = fc.nat(255)
  // Few distinct values, so that addresses fall into blocks often.
  const ipv4 = fc.tuple(fc.constantFrom(0, 10, 127, 192, 255), fc.nat(3), octet, octet).map((octets) => octets.join('.'))
  const ipv6 = fc.oneof(
    fc.ipV6().filter((text) => isIPv6(text) && !startsWithZeros(text)),
    fc.tuple(fc.constantFrom('2001:db8', 'fe80', '1'), fc.nat(0xffff), fc.nat(3)).map(([head, a, b]) => `${head}::${a.toString(16)}:${b}`),
  )
  const block4 = fc.tuple(ipv4, fc.nat(32)).map(([address, length]) => ({ address, length, family: 'ipv4' as const }))
  // The system finds IPv4 addresses in an IPv6 block around ::ffff:0:0/96; Sluice does not, on purpose.
  const block6 = fc
    .tuple(ipv6, fc.nat(128))
    .filter(([address, length]) => !createAddressSet([`${address}/${length}`]).has('::fffe:0:0'))
    .map(([address, length]) => ({ address, length, family: 'ipv6' as const }))

  it('agree with BlockList', () => {
    fc.assert(
      fc.property(
        fc.array(fc.oneof(block4, block6), { maxLength: 8 }),
        fc.array(fc.oneof(ipv4, ipv6), { maxLength: 20 }),
        (blocks, addresses) => {
          const oracle = new BlockList()
          for (const { address, length, family } of blocks) oracle.addSubnet(address, length, family)
          const set = createAddressSet(blocks.map(({ address, length }) => `${address}/${length}`))
          for (const address of addresses) {
            assert.equal(
              set.has(address),
              oracle.check(address, isIPv4(address) ? 'ipv4' : 'ipv6'),
              `${address} in ${JSON.stringify(blocks)}`,
            )
          }
        },
      ),
      { numRuns: 500 },
    )
  })

  it('accept exactly the texts that the system accepts', () => {
    const everything = createAddressSet(['0.0.0.0/0', '::/0'])
    const character = fc.constantFrom('0', '1', '9', 'a', 'F', ':', ':', '.', '255', '::', 'g', ' ')
    const text = fc.oneof(
      fc.array(character, { maxLength: 16 }).map((parts) => parts.join('')),
      fc.ipV6(),
      fc.ipV4(),
    )
    fc.assert(
      fc.property(text, (candidate) => assert.equal(everything.has(candidate), isIPv4(candidate) || isIPv6(candidate), candidate)),
      { numRuns: 3000 },
    )
  })
})

/** The system treats some addresses that begin with zeros as IPv4 addresses, Sluice only the mapped ones. */
function startsWithZeros(text: string): boolean {
  return parseCidr(text).first >> 48n === 0n
}
