import { GatewayError } from '../base/error.ts'
import type { Exchange } from '../exchange/exchange.ts'
import type { Filter } from '../exchange/filter.ts'
import { normalizePath } from '../exchange/target.ts'
import { afterPrefix, checkPath, createSegmentPrefix, encodeTarget, refusePath, singleLeadingSlash } from './path.ts'

/** A piece of `to`: text, or a group of the pattern by number or name. */
type Piece = string | { readonly group: number } | { readonly name: string }

/** `to`, taken apart. */
interface Target {
  readonly path: readonly Piece[]
  /** null: `to` has no query. */
  readonly query: readonly Piece[] | null
  /** False when `to` ends with '?': the query of the request is dropped. */
  readonly keepsQuery: boolean
}

/**
 * `rewrite: { from, to }`: looks for a pattern in the path (never in the query) and replaces the first part that matches. `$1` and
 * `$<name>` in `to` stand for its groups, `$$` for a dollar sign. A query in `to` goes before the request's own; a `?` at the end of `to`
 * drops the request's own. A path that does not match stays as it is.
 *
 * The pattern only ever sees paths of at most `limits.uriBytes` of the listener. A result that is no path is answered with 400: one that
 * does not start with '/', has a broken escape, or got dot segments from the text of a group.
 */
export function createRewriteFilter(from: string, to: string): Filter {
  const pattern = new RegExp(from)
  const target = parseTarget(to)
  return {
    name: 'rewrite',
    onRequest(x: Exchange): void {
      const { path } = x
      if (path.length > x.listener.config.limits.uriBytes) throw new GatewayError('uri_too_long', 'the path is too long to be rewritten')
      // `OPTIONS *` has no path.
      const match = path === '*' ? null : pattern.exec(path)
      if (match === null) return
      let made = path.slice(0, match.index)
      for (let i = 0; i < target.path.length; i++) made += expand(target.path[i] as Piece, match)
      made += path.slice(match.index + match[0].length)
      const next = checkPath(x, made === '' ? '/' : made) ?? refusePath('rewrite')
      if (target.query === null) x.setPath(next, target.keepsQuery ? x.queryOrNull : null)
      else x.setPath(next, joinQuery(target, match, x.queryOrNull))
    },
    onResponse: null,
    onFinish: null,
  }
}

function joinQuery(target: Target, match: RegExpExecArray, own: string | null): string | null {
  let query = ''
  const pieces = target.query as readonly Piece[]
  for (let i = 0; i < pieces.length; i++) {
    const piece = pieces[i] as Piece
    query += typeof piece === 'string' ? piece : escapeForQuery(expand(piece, match))
  }
  if (target.keepsQuery && own !== null && own !== '') query += query === '' ? own : `&${own}`
  return query === '' ? null : query
}

function expand(piece: Piece, match: RegExpExecArray): string {
  if (typeof piece === 'string') return piece
  // A group that took no part in the match is nothing.
  if ('group' in piece) return match[piece.group] ?? ''
  return match.groups?.[piece.name] ?? ''
}

/** Text of a path that becomes part of a query must not be able to add parameters to it. */
function escapeForQuery(text: string): string {
  return /[&+;=?]/.test(text) ? text.replace(/[&+;=?]/g, encodeURIComponent) : text
}

function parseTarget(to: string): Target {
  const question = to.indexOf('?')
  if (question === -1) return { path: parsePieces(to), query: null, keepsQuery: true }
  const keepsQuery = !to.endsWith('?')
  const query = keepsQuery ? to.slice(question + 1) : to.slice(question + 1, -1)
  return { path: parsePieces(to.slice(0, question)), query: query === '' ? null : parsePieces(query), keepsQuery }
}

function parsePieces(text: string): Piece[] {
  const pieces: Piece[] = []
  let literal = ''
  let from = 0
  for (const match of text.matchAll(/\$(?:\$|(\d{1,2})|<([^>]*)>)/g)) {
    literal += text.slice(from, match.index)
    from = match.index + match[0].length
    const [, number, name] = match
    if (number === undefined && name === undefined) {
      literal += '$'
      continue
    }
    if (literal !== '') pieces.push(encodeTarget(literal))
    literal = ''
    pieces.push(name === undefined ? { group: Number(number) } : { name })
  }
  literal += text.slice(from)
  if (literal !== '') pieces.push(encodeTarget(literal))
  return pieces
}

/**
 * `rewrite: { prefix, to }`: replaces whole segments at the start of the path. With `/users` to `/v2/people`: `/users/7` becomes
 * `/v2/people/7`, and `/usersX` stays. Exactly one slash stands where the two parts meet. The query is not touched.
 */
export function createPrefixRewriteFilter(prefix: string, to: string): Filter {
  const compiled = createSegmentPrefix(prefix)
  const whole = normalizePath(encodeTarget(to), { mergeSlashes: true, escapedSlashes: 'keep' })
  if (whole === null) throw new Error(`rewrite to ${JSON.stringify(to)}: not a path that can be sent`)
  const base = whole.endsWith('/') ? whole.slice(0, -1) : whole
  return {
    name: 'rewrite',
    onRequest(x: Exchange): void {
      const rest = afterPrefix(x.path, compiled)
      if (rest === null) return
      // The prefix '/' leaves '/' of the path '/', which is nothing more than the prefix itself.
      if (rest === '' || (compiled.text === '' && rest === '/')) x.setPath(whole)
      else x.setPath(base + singleLeadingSlash(rest))
    },
    onResponse: null,
    onFinish: null,
  }
}
