import { type Placeholder, parsePlaceholders, type ValuePart } from '../config/placeholders.ts'
import type { Exchange } from '../exchange/exchange.ts'

/** A header value with placeholders, compiled: text, or parts to be joined for each request. */
export type Template = string | readonly ValuePart[]

/** Compiles a value. Throws an Error that says what is wrong with it. */
export function compileTemplate(value: string): Template {
  const parsed = parsePlaceholders(value)
  if ('problem' in parsed) throw new Error(parsed.problem)
  const [first] = parsed.value
  return parsed.value.length === 1 && first?.kind === 'text' ? first.text : parsed.value
}

/** The value for this exchange: always one that can be sent. What is not known is ''. */
export function renderTemplate(template: Template, x: Exchange): string {
  if (typeof template === 'string') return template
  let value = ''
  for (let i = 0; i < template.length; i++) {
    const part = template[i] as ValuePart
    if (part.kind === 'text') value += part.text
    else if (part.kind === 'param') value += asFieldText(x.params?.[part.name] ?? '')
    else value += read(part.name, x)
  }
  return value
}

function read(name: Placeholder, x: Exchange): string {
  switch (name) {
    case 'clientIp':
      return x.clientIp
    case 'host':
      return x.host
    case 'method':
      return x.method
    case 'path':
      return x.path
    case 'requestId':
      return x.requestId
    case 'route':
      return x.route?.name ?? ''
    case 'scheme':
      return x.scheme
    case 'service':
      return x.service?.service.name ?? ''
  }
}

const UNSENDABLE = /[^\x20-\x7e]+/g

/** Parameters are percent-decoded, so anything may stand in them: what is not printable ASCII is encoded again. */
function asFieldText(text: string): string {
  return text.toWellFormed().replace(UNSENDABLE, encodeURIComponent)
}
