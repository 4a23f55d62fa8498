import { closeSync, openSync, readdirSync, readSync } from 'node:fs'
import { join } from 'node:path'

const CHUNK_BYTES = 16 * 1024 * 1024
/** Longer than every form of what is looked for. */
const OVERLAP_BYTES = 512

/** The forms in which something may lie on a disk. */
export function forms(secret: Buffer): Buffer[] {
  const text = [secret.toString('hex'), secret.toString('utf16le')]
  for (const shift of [0, 1, 2]) {
    const coded = Buffer.concat([Buffer.alloc(shift), secret, Buffer.alloc(2)]).toString('base64')
    // Without the characters that the neighbours have a part in.
    text.push(coded.slice(shift === 0 ? 0 : 4, 4 * Math.floor((shift + secret.length) / 3)))
  }
  return [secret, Buffer.from(secret.toString('latin1'), 'utf16le'), ...text.map((one) => Buffer.from(one))]
}

/** Names of what lies in the bytes. */
export function findIn(bytes: Buffer, secrets: ReadonlyMap<string, readonly Buffer[]>): string[] {
  return [...secrets].filter(([, all]) => all.some((form) => bytes.includes(form))).map(([name]) => name)
}

/** Looks through every file below `folders`. @returns `name in file` of each hit, and how much was read */
export function scan(
  folders: readonly string[],
  secrets: ReadonlyMap<string, Buffer>,
): { readonly hits: string[]; readonly files: number; readonly bytes: number } {
  const wanted = new Map([...secrets].map(([name, secret]) => [name, forms(secret)]))
  const hits: string[] = []
  let files = 0
  let bytes = 0
  const buffer = Buffer.alloc(CHUNK_BYTES)
  for (const path of folders.flatMap((folder) => [...filesOf(folder)])) {
    const found = new Set<string>()
    try {
      const file = openSync(path, 'r')
      files++
      for (let at = 0; ; at += CHUNK_BYTES - OVERLAP_BYTES) {
        const count = readSync(file, buffer, 0, CHUNK_BYTES, at)
        bytes += count
        for (const name of findIn(buffer.subarray(0, count), wanted)) found.add(name)
        if (count < CHUNK_BYTES) break
      }
      closeSync(file)
    } catch {
      // gone meanwhile
    }
    for (const name of found) hits.push(`${name} in ${path}`)
  }
  return { hits, files, bytes }
}

function* filesOf(folder: string): Generator<string> {
  let entries
  try {
    entries = readdirSync(folder, { withFileTypes: true })
  } catch {
    return
  }
  for (const entry of entries) {
    const path = join(folder, entry.name)
    if (entry.isDirectory()) yield* filesOf(path)
    else if (entry.isFile()) yield path
  }
}
