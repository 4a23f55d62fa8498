import { createHash } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import {
  directoryPath,
  MARKER_NAME,
  nameOfDirectoryPath,
  objectKind,
  objectName,
} from '../../../src/format/object-names.ts'
import { decodeRecoveryKey, encodeRecoveryKey } from '../../../src/format/recovery-key.ts'

const sha256 = (...parts: Uint8Array[]) => {
  const hash = createHash('sha256')
  for (const part of parts) hash.update(part)
  return new Uint8Array(hash.digest())
}
const ab = new Uint8Array(16).fill(0xab)

describe('names on a node (§11)', () => {
  it('makes and knows every kind', () => {
    expect(objectName('fragment', ab)).toBe(`f/${'ab'.repeat(16)}`)
    expect(objectKind(objectName('manifest-share', ab))).toBe('manifest-share')
    expect(objectKind(objectName('state-share', ab))).toBe('state-share')
    expect(objectKind(objectName('card', new Uint8Array(32)))).toBe('card')
    expect(objectKind(MARKER_NAME)).toBe('marker')
    expect(() => objectName('card', ab)).toThrow(expect.objectContaining({ code: 'E_INPUT' }))
  })

  it('does not know anything else', () => {
    for (const name of [
      '',
      'f/',
      'f/ab',
      `F/${'ab'.repeat(16)}`,
      `f/${'AB'.repeat(16)}`,
      `f/${'ab'.repeat(16)}/x`,
      '.tmp/x',
    ]) {
      expect(objectKind(name)).toBeUndefined()
    }
  })

  it('puts a folder in between on a directory node, and back', () => {
    const name = objectName('fragment', ab)
    expect(directoryPath(name)).toBe(`f/ab/${'ab'.repeat(16)}`)
    expect(nameOfDirectoryPath(directoryPath(name))).toBe(name)
    expect(directoryPath(MARKER_NAME)).toBe(MARKER_NAME)
    expect(nameOfDirectoryPath(`f/cd/${'ab'.repeat(16)}`)).toBeUndefined()
    expect(nameOfDirectoryPath('.tmp/ab/abab')).toBeUndefined()
    expect(() => directoryPath('../x')).toThrow(expect.objectContaining({ code: 'E_INPUT' }))
  })
})

describe('recovery key as text (§8)', () => {
  const seed = Uint8Array.from({ length: 32 }, (_, i) => i)
  const text = encodeRecoveryKey(seed, sha256)

  it('reads what it writes, in any grouping and case', () => {
    expect(text).toMatch(/^mosaik-recovery-1-([a-z2-7]{5}-){11}[a-z2-7]{3}$/)
    expect(decodeRecoveryKey(text, sha256)).toEqual(seed)
    expect(decodeRecoveryKey(` ${text.toUpperCase().replaceAll('-', ' ')}\n`, sha256)).toEqual(seed)
    expect(decodeRecoveryKey(text.replaceAll('-', ''), sha256)).toEqual(seed)
  })

  it('refuses every change of one character', () => {
    for (let i = 0; i < text.length; i++) {
      if (text[i] === '-') continue
      const other = text[i] === 'a' ? 'b' : 'a'
      const changed = text.slice(0, i) + other + text.slice(i + 1)
      expect(() => decodeRecoveryKey(changed, sha256)).toThrow(expect.objectContaining({ code: 'E_RECOVERY_KEY' }))
    }
  })

  it('refuses other lengths, prefixes and digits', () => {
    for (const bad of [
      '',
      'mosaik-recovery-1-',
      text.slice(0, -1),
      `${text}a`,
      text.replace('-1-', '-2-'),
      text.replace(/.$/, '1'),
      text.replace(/.$/, 'é'),
    ]) {
      expect(() => decodeRecoveryKey(bad, sha256)).toThrow(expect.objectContaining({ code: 'E_RECOVERY_KEY' }))
    }
    expect(() => encodeRecoveryKey(new Uint8Array(31), sha256)).toThrow(
      expect.objectContaining({ code: 'E_RECOVERY_KEY' }),
    )
  })
})
