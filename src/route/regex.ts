/** Path patterns: compiled, and placed by the text with which every match must begin. */

const SPECIAL = /[.*+?()[\]{}|^$\\]/

/** Compiles a pattern. Throws an Error that quotes it when it is not valid. */
export function compileRegex(pattern: string): RegExp {
  try {
    return new RegExp(pattern)
  } catch (reason) {
    throw new Error(`regular expression "${pattern}": ${reason instanceof Error ? reason.message : String(reason)}`)
  }
}

/**
 * The whole segments with which every path matching `pattern` begins; none when nothing can be said. `^/users/\d+$` gives `['users']`;
 * `^/users` gives none, because it matches `/users2` as well.
 */
export function literalSegments(pattern: string): string[] {
  const text = literalPrefix(pattern)
  const last = text.lastIndexOf('/')
  return last > 0 && text.startsWith('/') ? text.slice(1, last).split('/') : []
}

/** The text every match must begin with, '' when the pattern is not anchored or has alternatives. Errs on the short side. */
function literalPrefix(pattern: string): string {
  // An alternative may stand anywhere; looking for the character alone is enough to stay on the safe side.
  if (!pattern.startsWith('^') || pattern.includes('|')) return ''
  let text = ''
  for (let i = 1; i < pattern.length; i++) {
    let character = pattern.charAt(i)
    if (character === '\\') {
      character = pattern.charAt(++i)
      // An escaped letter or digit is a class, an assertion or a back-reference.
      if (character === '' || /[A-Za-z0-9]/.test(character)) return text
    } else if (SPECIAL.test(character)) return text
    const next = pattern.charAt(i + 1)
    if (next === '*' || next === '?' || next === '{') return text
    text += character
  }
  return text
}
