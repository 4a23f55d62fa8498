import { readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { errorCodes } from '../../../src/domain/errors.ts'
import { checkWithReader, content as contentWithReader } from './check-with-reader.ts'
import { checkWithSrc } from './check-with-src.ts'
import { content as contentWithSrc } from './content-with-src.ts'
import { splitHashes } from './make/all.ts'
import { contextOf, makeSplit } from './make/contents.ts'
import type { RestoredAsset } from './restore-with-src.ts'
import type { Vector } from './vector.ts'

const root = join(import.meta.dirname, 'files')
const vectors = readdirSync(root, { recursive: true, encoding: 'utf8' })
  .filter((path) => statSync(join(root, path)).isFile())
  .toSorted()
  .map((path) => {
    const vector = JSON.parse(readFileSync(join(root, path), 'utf8')) as Vector
    if (`${vector.name}.json` !== path.replaceAll('\\', '/')) throw new Error(`${path} holds ${vector.name}`)
    return vector
  })
const find = (name: string): Vector => {
  const found = vectors.find((vector) => vector.name === name)
  if (found === undefined) throw new Error(`there is no vector ${name}`)
  return found
}

/** What is promised to be there: a loader that finds nothing has tested nothing. */
const kinds = {
  cbor: 6,
  'asset-header': 10,
  'fragment-header': 25,
  'document-header': 20,
  'sealed-document': 40,
  'document-share': 40,
  'document-shares': 20,
  'vault-card': 30,
  receipt: 25,
  'node-marker': 8,
  manifest: 50,
  state: 9,
  'recovery-key': 10,
  'spool-header': 12,
  fragment: 30,
  content: 18,
  split: 4,
  vault: 4,
}

describe('own vectors', () => {
  it('are all there', () => {
    for (const [kind, least] of Object.entries(kinds)) {
      expect(vectors.filter((vector) => vector.kind === kind).length, kind).toBeGreaterThanOrEqual(least)
    }
    expect(vectors.every(({ kind }) => kind in kinds)).toBe(true)
    for (const { expect: wanted } of vectors) if ('error' in wanted) expect(wanted.error in errorCodes).toBe(true)
  })
})

/** `ok` as it is expected, or the code of what was thrown; another error is thrown on. */
async function outcome(check: typeof checkWithSrc, vector: Vector): Promise<unknown> {
  try {
    return { ok: await check(vector, find) }
  } catch (error) {
    if (error instanceof Error && 'code' in error && String(error.code) in errorCodes) return { error: error.code }
    throw error
  }
}

for (const kind of Object.keys(kinds)) {
  const ofKind = vectors.filter((vector) => vector.kind === kind && kind !== 'split')
  describe.skipIf(ofKind.length === 0)(`${kind} (src)`, () => {
    it.each(ofKind.map((vector) => [vector.name, vector] as const))('%s', async (_name, vector) => {
      expect(await outcome(checkWithSrc, vector)).toEqual(vector.expect)
    })
  })
  describe.skipIf(ofKind.length === 0)(`${kind} (standalone reader)`, () => {
    it.each(ofKind.map((vector) => [vector.name, vector] as const))('%s', async (_name, vector) => {
      const wanted = vector.kind === 'vault' ? restoredHashes(vector) : vector.expect
      expect(await outcome(checkWithReader, vector)).toEqual(wanted)
    })
  })
}

/** The reader writes files: their hashes are what can be compared. */
function restoredHashes({ expect: wanted }: Vector): unknown {
  const { ok } = wanted as { readonly ok: readonly RestoredAsset[] }
  return { ok: ok.map(({ sha256 }) => sha256).toSorted() }
}

describe('three segments, split with known hashes', () => {
  const splits = vectors.filter(({ kind }) => kind === 'split')
  it.each(splits.map((vector) => [vector.name, vector] as const))('%s', (_name, vector) => {
    const hashes = splitHashes(vector) as { readonly content: string }
    expect({ ok: hashes }).toEqual(vector.expect)
    const { label, scheme } = vector.context!
    const split = makeSplit(label!, scheme!)
    const [k, n] = scheme!
    const wanted = { sha256: hashes.content }
    for (const some of [split.fragments.slice(0, k), split.fragments.slice(n - k)]) {
      expect(contentWithSrc(some, contextOf(split))).toEqual(wanted)
      expect(contentWithReader(some, contextOf(split))).toEqual(wanted)
    }
  })
})
