import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ManualClock } from '../base/clock.ts'
import type { GatewayConfig } from '../config/types.ts'
import type { Log } from '../observe/log.ts'
import { CertificateWatch } from './certificate-watch.ts'
import { TicketKeys } from './ticket-keys.ts'

const DAY_MS = 86_400_000

/** setInterval whose time comes by hand. */
function createSchedule() {
  let callback = () => {}
  const timer = { unref() {} } as NodeJS.Timeout
  return {
    schedule: (given: () => void) => {
      callback = given
      return timer
    },
    fire: () => callback(),
  }
}

function configOf(
  certificates: { names: string[]; validFromMs?: number; expiresMs: number }[],
  services: Record<string, { tls: { verify: boolean } | null }> = {},
): GatewayConfig {
  const tls = { certificates: certificates.map((certificate) => ({ validFromMs: 0, ...certificate, cert: '/tls.crt', key: '/tls.key' })) }
  return {
    admin: null,
    services,
    listeners: { web: { name: 'web', protocol: 'http', tls }, plain: { name: 'plain', protocol: 'http', tls: null } },
  } as unknown as GatewayConfig
}

function createWatch() {
  const clock = new ManualClock()
  const nowMs = clock.wallClock()
  const values = new Map<string, number>()
  const said: string[] = []
  const note = (message: string) => void said.push(message)
  const log: Log = { debug: note, info: note, warn: note, error: note }
  const registry = {
    gauge: (_name: string, _help: string, labels: Record<string, string>) => ({
      set: (value: number) => void values.set(`${labels['listener']} ${labels['certificate']}`, value),
      add() {},
    }),
  }
  const { schedule, fire } = createSchedule()
  const watch = new CertificateWatch({ clock, registry: registry as never, log, schedule })
  return { watch, fire, said, values, nowMs }
}

test('certificates are shown by name, warned about from 14 days on and every day, and forgotten when they are replaced', () => {
  const { watch, fire, said, values, nowMs } = createWatch()
  watch.update(
    configOf([
      { names: ['late.test'], expiresMs: nowMs + 400 * DAY_MS },
      { names: ['soon.test'], expiresMs: nowMs + 13.5 * DAY_MS },
      { names: [], expiresMs: nowMs - 1 },
    ]),
  )
  assert.deepEqual(said.splice(0), ['a certificate expires in 13 days', 'a certificate has expired'])
  assert.equal(values.get('web soon.test'), Math.floor((nowMs + 13.5 * DAY_MS) / 1000))
  assert.equal(values.get('web -'), Math.floor((nowMs - 1) / 1000))
  fire()
  assert.equal(said.splice(0).length, 2)
  watch.update(configOf([{ names: ['late.test'], expiresMs: nowMs + 400 * DAY_MS }]))
  assert.deepEqual(said, [])
  assert.equal(values.get('web soon.test'), 0)
  assert.equal(values.get('web late.test'), Math.floor((nowMs + 400 * DAY_MS) / 1000))
})

test('a certificate that is not valid yet is told like one that has expired', () => {
  const { watch, said, nowMs } = createWatch()
  watch.update(configOf([{ names: ['early.test'], validFromMs: nowMs + DAY_MS, expiresMs: nowMs + 400 * DAY_MS }]))
  assert.deepEqual(said, ['a certificate is not valid yet'])
})

test('a service whose certificates are not checked is told once', () => {
  const { watch, fire, said } = createWatch()
  const [checked, unchecked] = [{ tls: { verify: true } }, { tls: { verify: false } }]
  watch.update(configOf([], { a: checked, b: unchecked, c: { tls: null } }))
  assert.match(said.splice(0).join(), /^the certificates of a service are not checked/)
  watch.update(configOf([], { a: unchecked, b: unchecked, c: { tls: null } }))
  fire()
  assert.equal(said.length, 1, 'only of the one that is new')
})

test('ticket keys have the size OpenSSL wants, and a rotation hands out others', () => {
  const given: Buffer[] = []
  const { schedule, fire } = createSchedule()
  const keys = new TicketKeys(schedule, (next) => void given.push(next))
  const first = keys.current
  assert.equal(first.length, 48)
  fire()
  assert.equal(given.length, 1)
  assert.equal(keys.current, given[0])
  assert.notDeepEqual(keys.current, first)
})
