import type { ConfigProblem } from '../config/problem.ts'
import { isSecretName, REDACTED, redactText } from '../observe/redact.ts'
import { replyJson, replyProblem } from './reply.ts'
import type { AdminResource } from './resource.ts'

export const reload: AdminResource = {
  path: '/reload',
  method: 'POST',
  summary: 'reads the configuration again; 422 with the problems when it is bad, and nothing changes',
  async handle(source) {
    const result = await source.reload()
    if (result.ok) return replyJson(result)
    const count = result.problems.length
    return replyProblem({
      status: 422,
      title: 'Unprocessable Content',
      code: 'invalid_config',
      detail: `The configuration has ${count} ${count === 1 ? 'problem' : 'problems'}; the one before stays in use.`,
      members: { problems: result.problems.map(withoutSecrets) },
    })
  },
}

/** The source line may be the very one that holds a password. */
function withoutSecrets(problem: ConfigProblem): ConfigProblem {
  const keys = problem.sourceLine.matchAll(/([\w-]+)["']?\s*:/g)
  const hidden = keys.some((match) => isSecretName(match[1] ?? ''))
  return { ...problem, message: redactText(problem.message), sourceLine: hidden ? REDACTED : redactText(problem.sourceLine) }
}
