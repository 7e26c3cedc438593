/**
 * The subject of a certificate as one line (RFC 4514): `CN=client,O=Example`. `multiline` is what Node.js gives: one attribute a line,
 * in the order of the certificate, escaped already except for what is not ASCII. The line can stand in a header.
 */
export function formatSubject(multiline: string): string {
  return multiline
    .split('\n')
    .filter((line) => line !== '')
    .reverse()
    .map(escapeNonAscii)
    .join(',')
}

function escapeNonAscii(text: string): string {
  return text.replace(/[^\x20-\x7e]+/gu, (found) => Buffer.from(found, 'utf8').toString('hex').toUpperCase().replace(/../g, '\\$&'))
}
