// Custom filters: one adds a header, one answers by itself, one rewrites a JSON body.
//
//   UPSTREAM=127.0.0.1:3000 sluice run -c examples/custom-filter/sluice.config.ts
//   curl -i http://127.0.0.1:8080/hello?name=Ada
//   curl -i http://127.0.0.1:8080/anything
//
// In a project of your own: import { defineConfig, type FilterFunction } from 'sluice'
import { defineConfig, type FilterFunction } from '../../src/index.ts'

/** Tells the service which gateway a request came through. Works on the request only, so nothing is waited for. */
const addHeader: FilterFunction = (x, next) => {
  x.request.headers.set('x-gateway', 'sluice')
  return next()
}

/** Answers `/hello` here; everything else goes on. */
const hello: FilterFunction = (x, next) => {
  if (x.request.path !== '/hello') return next()
  const name = x.request.searchParams.get('name') ?? 'world'
  return x.respond({ status: 200, headers: { 'cache-control': 'no-store' }, body: { hello: name, you: x.request.clientIp } })
}

/** Adds a key to each JSON object that comes back. Other responses, and those too large to hold, pass by as they are. */
const stampJson: FilterFunction = async (x, next) => {
  // A part of a body cannot be rewritten, so no part is asked for.
  x.request.headers.remove('range')
  await next()
  const { response } = x
  const type = response.headers.get('content-type') ?? ''
  if (response.status !== 200 || !/^application\/json\b/i.test(type)) return
  // HEAD has no body, but its headers must not speak of one that GET would not get.
  const value: unknown = response.hasBody ? await response.json(64 * 1024).catch(() => null) : {}
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return
  response.setBody({ ...value, gateway: 'sluice' })
}

export default defineConfig(({ env }) => ({
  listeners: { web: { address: env['LISTEN'] ?? ':8080' } },
  services: { app: { endpoints: [env['UPSTREAM'] ?? '127.0.0.1:3000'] } },
  routes: {
    app: {
      match: { prefix: '/' },
      filters: [addHeader, hello, stampJson],
      to: 'app',
    },
  },
}))
