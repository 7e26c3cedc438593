/** Heads as they are seen in practice. */

/** What wrk sends. */
export const SMALL = 'GET /hello HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n\r\n'

/** A browser's page request with 15 fields. */
export const BROWSER = [
  'GET /products/shoes/running?color=red&size=42&page=3 HTTP/1.1',
  'Host: shop.example.com',
  'Connection: keep-alive',
  'sec-ch-ua: "Chromium";v="142", "Not_A Brand";v="99"',
  'sec-ch-ua-mobile: ?0',
  'sec-ch-ua-platform: "Linux"',
  'Upgrade-Insecure-Requests: 1',
  'User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36',
  'Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8',
  'Sec-Fetch-Site: same-origin',
  'Sec-Fetch-Mode: navigate',
  'Sec-Fetch-Dest: document',
  'Referer: https://shop.example.com/products',
  'Accept-Encoding: gzip, deflate, br, zstd',
  'Accept-Language: en-GB,en;q=0.9',
  'Cookie: session=0123456789abcdef; theme=dark',
  '\r\n',
].join('\r\n')

/** A small static file from a web server. */
export const RESPONSE = [
  'HTTP/1.1 200 OK',
  'Server: nginx/1.22.1',
  'Date: Sat, 21 Nov 2026 07:00:00 GMT',
  'Content-Type: text/plain',
  'Content-Length: 66',
  'Last-Modified: Sat, 21 Nov 2026 06:00:00 GMT',
  'Connection: keep-alive',
  'ETag: "65f0-42"',
  'Accept-Ranges: bytes',
  '\r\n',
].join('\r\n')

/** Known names by length, as the codec looked them up before. */
export const BY_LENGTH: { name: string; id: number }[][] = []
const NAMES = [
  'host',
  'connection',
  'content-length',
  'transfer-encoding',
  'keep-alive',
  'proxy-connection',
  'te',
  'trailer',
  'upgrade',
  'expect',
  'proxy-authorization',
  'proxy-authenticate',
  'x-forwarded-for',
  'x-forwarded-proto',
  'x-forwarded-host',
  'x-forwarded-port',
  'forwarded',
  'via',
  'x-request-id',
  'http2-settings',
  'x-real-ip',
  'cookie',
  'date',
]
for (let i = 0; i < NAMES.length; i++) {
  const name = NAMES[i] as string
  while (BY_LENGTH.length <= name.length) BY_LENGTH.push([])
  BY_LENGTH[name.length]?.push({ name, id: i + 1 })
}
