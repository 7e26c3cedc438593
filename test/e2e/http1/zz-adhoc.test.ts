import { after, test } from 'node:test'
import { openClient, request, startGateway, startScript, sleep } from '/work/main/test/e2e/http1/kit.ts'
const upstream = await startScript({after})
const gateway = await startGateway({after}, [upstream.address])
test('x', async (t) => {
  upstream.onBytes = ({ socket }) => { socket.pause(); setTimeout(() => socket.resume(), 2) }
  for (let i = 0; i < 30; i++) {
    const size = 4_000_000 + i * 137_777
    const client = await openClient(t, gateway.port())
    client.send(request('PUT', '/', [`Content-Length: ${size}`]))
    client.send(Buffer.alloc(size))
    await client.response({ timeoutMs: 10_000 })
    client.send(request('GET', '/next'))
    try { await client.response({timeoutMs: 1000}) } catch (e) { console.log(size, 'STUCK') }
    client.socket.destroy(); const ob = upstream.onBytes; upstream.reset(); upstream.onBytes = ob; console.log(size, Math.round(process.memoryUsage().rss/1e6))
  }
})
