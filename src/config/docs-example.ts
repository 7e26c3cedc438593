/** The example at the top of docs/config.md. A test loads it, so it always works. */
export const CONFIG_EXAMPLE = `workers: auto
admin: { address: "127.0.0.1:9900" }
accessLog: { path: "-", format: json }
log: { level: info }
drainTimeout: 30s

listeners:
  web:
    address: ":8080"
    trustedProxies: [10.0.0.0/8]
    limits: { body: 10MiB }
    timeouts: { head: 10s, idle: 75s }

services:
  users:
    endpoints:
      - "127.0.0.1:9001"
      - { address: "127.0.0.1:9002", weight: 3, tags: { group: vip } }
    balance: round-robin
    pool: { idleTimeout: 90s, connectTimeout: 1s, maxConnections: "\${USERS_CONNECTIONS:-1024}" }
    timeouts: { request: 15s, perTry: 5s }
    ejection: { maxFails: 3, failTimeout: 10s }
  users-v2:
    endpoints: ["127.0.0.1:9003"]
    ejection: null                     # off

policies:                              # named lists of filters
  public-api:
    - headers: { request: { set: { x-gw: sluice } }, response: { remove: [server] } }

routes:
  users:
    match: { host: [api.example.com, "*.api.example.com"], prefix: /users, methods: [GET, POST] }
    filters: [public-api, { rewrite: { from: "^/users/(.*)", to: "/$1" } }]
    to: [{ service: users, weight: 90 }, { service: users-v2, weight: 10 }]
  canary:
    match: { host: api.example.com, prefix: /users, headers: { x-env: canary, x-debug: false } }
    filters: [public-api, { strip-prefix: /users }]
    to: users-v2
    timeouts: { request: 5s }
  profile:
    match: { path: "/users/{id}/profile", cookies: { session: true }, query: { format: { regex: "^(json|xml)$" } } }
    to: users
  hello: { match: { path: /hello }, respond: { status: 200, body: "hi\\n" } }
  version: { match: { path: /version }, respond: { body: { version: 1 } } }
  old: { match: { prefix: /old }, redirect: { status: 308, scheme: https, host: www.example.com, stripPrefix: /old } }
`
