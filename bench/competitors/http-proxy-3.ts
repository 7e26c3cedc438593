import { nodeServer } from './node-server.ts'

/** http-proxy-3, the maintained continuation of http-proxy, over `node:http` with a keep-alive agent. */
export const httpProxy3 = nodeServer('http-proxy-3', 'http-proxy-3', 'http-proxy-3')
