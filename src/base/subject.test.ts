import assert from 'node:assert/strict'
import { test } from 'node:test'
import { formatSubject } from './subject.ts'

test('a subject is written from the end, as RFC 4514 has it, and fits into a header', () => {
  assert.equal(formatSubject('C=DE\nO=Example\nCN=client'), 'CN=client,O=Example,C=DE')
  assert.equal(formatSubject('CN=one\\, two'), 'CN=one\\, two')
  assert.equal(formatSubject('CN=Grün'), 'CN=Gr\\C3\\BCn')
  assert.equal(formatSubject('CN=\u{1F600}x'), 'CN=\\F0\\9F\\98\\80x')
  assert.equal(formatSubject('CN=a\tb'), 'CN=a\\09b')
  assert.equal(formatSubject(''), '')
})
