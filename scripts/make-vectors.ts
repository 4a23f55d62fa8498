// Writes the vectors of test/vectors/own. A file that is there is never changed: a vector is a promise to readers that exist.
// To replace a wrong one, delete its file by hand and say why in the commit.
//
//   node scripts/make-vectors.ts            writes what is missing
//   node scripts/make-vectors.ts --check    writes nothing; fails when something is missing or would differ

import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import process from 'node:process'
import { makeVectors } from '../test/vectors/own/make/all.ts'

const root = join(import.meta.dirname, '../test/vectors/own/files')
const checkOnly = process.argv.includes('--check')

let written = 0
const different: string[] = []
const missing: string[] = []
const names = new Set<string>()
for (const vector of await makeVectors()) {
  if (names.has(vector.name)) throw new Error(`two vectors are named ${vector.name}`)
  names.add(vector.name)
  const path = join(root, `${vector.name}.json`)
  const text = `${JSON.stringify(vector, null, 1)}\n`
  if (existsSync(path)) {
    if (readFileSync(path, 'utf8') !== text) different.push(vector.name)
  } else if (checkOnly) {
    missing.push(vector.name)
  } else {
    mkdirSync(dirname(path), { recursive: true })
    writeFileSync(path, text)
    written++
  }
}
console.log(`${names.size} vectors, ${written} written`)
for (const name of different) console.error(`${name} would differ from its file, which is left as it is`)
for (const name of missing) console.error(`${name} has no file`)
process.exitCode = different.length + missing.length > 0 ? 1 : 0
