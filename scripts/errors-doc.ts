import { ERROR_KINDS, type ErrorKind } from '../src/base/error.ts'

const INTRODUCTION = `# Errors

Every way Sluice itself can fail a request. The client gets the status with an \`application/problem+json\` body (RFC 9457) whose
\`code\` is the one below and whose \`request_id\` finds the access-log line, where the flag stands. The source says whose fault it is:
the client's side (downstream), the service's (upstream), or Sluice's own (gateway). Codes are never renamed or reused.
`

/** The text of docs/errors.md, from the table in src/base/error.ts. */
export function generateErrorsDocs(kinds: Readonly<Record<string, ErrorKind>> = ERROR_KINDS): string {
  const rows = Object.entries(kinds).map(
    ([code, kind]) => `| \`${code}\` | ${kind.http} ${kind.title} | ${kind.flag} | ${kind.source} | ${escapeCell(kind.doc)} |`,
  )
  return `${INTRODUCTION}\n| Code | Status | Flag | Source | Meaning |\n|---|---|---|---|---|\n${rows.join('\n')}\n`
}

function escapeCell(text: string): string {
  return text.replaceAll('|', '\\|')
}
