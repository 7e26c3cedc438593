/** What a resource answers. Written to the socket in one place, server.ts. */
export interface AdminReply {
  readonly status: number
  readonly contentType: string
  readonly body: string
  readonly headers?: Readonly<Record<string, string>>
}

/** An answer for people and scripts alike. */
export function replyText(body: string, contentType = 'text/plain; charset=utf-8'): AdminReply {
  return { status: 200, contentType, body }
}

/** An answer with indented JSON and a line break at its end. */
export function replyJson(value: unknown): AdminReply {
  return { status: 200, contentType: 'application/json', body: `${JSON.stringify(value, null, 2)}\n` }
}

export interface AdminProblem {
  readonly status: number
  readonly title: string
  /** Stable, for scripts. */
  readonly code: string
  readonly detail: string
  /** More members of the problem document. */
  readonly members?: Readonly<Record<string, unknown>>
  readonly headers?: Readonly<Record<string, string>>
}

/** An error as RFC 9457 problem details. */
export function replyProblem(problem: AdminProblem): AdminReply {
  const { status, title, code, detail, members = {}, headers = {} } = problem
  const body = `${JSON.stringify({ type: 'about:blank', title, status, code, detail, ...members }, null, 2)}\n`
  return { status, contentType: 'application/problem+json', body, headers }
}
