/** What `sluice init` writes: small, complete, and valid as it is. */
export const STARTER_YAML = `# The configuration of Sluice. "sluice check" tells what is wrong with it, "sluice schema" prints its JSON Schema for editors,
# "sluice explain GET http://localhost:8080/api/hello" tells where a request goes and why.

listeners:
  web:
    address: ":8080" # every address; "127.0.0.1:8080" for this machine only

services:
  api:
    endpoints:
      - "127.0.0.1:3000"
      # - { address: "127.0.0.1:3001", weight: 2 } # takes twice as many requests
    # timeouts: { request: 15s } # beyond it, the client gets 504

routes:
  # The most specific route wins; the order here makes no difference.
  api:
    match: { prefix: /api }
    filters:
      - strip-prefix: /api # the service sees /hello for /api/hello
    to: api
  hello:
    match: { path: /hello }
    respond: { status: 200, body: "hello from sluice\\n" }

# Health, metrics and reload. Off loopback it needs a token.
admin: { address: "127.0.0.1:9900" }
`

export const STARTER_TS = `import { defineConfig } from 'sluice'

// The configuration of Sluice. "sluice check" tells what is wrong with it, and the editor knows every key.
// "sluice explain GET http://localhost:8080/api/hello" tells where a request goes and why.
export default defineConfig({
  listeners: {
    web: { address: ':8080' }, // every address; '127.0.0.1:8080' for this machine only
  },
  services: {
    api: { endpoints: ['127.0.0.1:3000'] },
  },
  routes: {
    // The most specific route wins; the order here makes no difference.
    api: { match: { prefix: '/api' }, filters: [{ 'strip-prefix': '/api' }], to: 'api' },
    hello: { match: { path: '/hello' }, respond: { status: 200, body: 'hello from sluice\\n' } },
  },
  // Health, metrics and reload. Off loopback it needs a token.
  admin: { address: '127.0.0.1:9900' },
})
`
