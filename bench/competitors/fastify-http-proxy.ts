import { nodeServer } from './node-server.ts'

/** @fastify/http-proxy over one undici pool. */
export const fastifyHttpProxy = nodeServer('fastify-http-proxy', '@fastify/http-proxy', '@fastify/http-proxy')
