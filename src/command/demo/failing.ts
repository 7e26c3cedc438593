import type { DemoHandler } from './service.ts'
import { replyJson } from './service.ts'

/** Fails as the last part of the path says: a status (`/503`), `/reset`, `/truncate`, `/garbage`, `/hang`; anything else is a 500. */
export const failing: DemoHandler = (request, response, url) => {
  request.resume()
  const how = url.pathname.split('/').at(-1) ?? ''
  const socket = request.socket
  if (how === 'reset') socket.resetAndDestroy()
  else if (how === 'garbage') socket.end('this is not HTTP\r\n\r\n')
  else if (how === 'truncate') {
    response.writeHead(200, { 'content-length': 1000 })
    response.write('the other 960 bytes never come')
    setImmediate(() => socket.destroy())
  } else if (how !== 'hang') replyJson(response, /^[45]\d\d$/.test(how) ? Number(how) : 500, { service: 'failing', how: how || '500' })
}
