import { closeSync, openSync, readdirSync, readSync, statSync } from 'node:fs'
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

/** Finds many secrets in one pass: a bit for the first three bytes of every form, and the forms themselves where the bit is set. */
export class Finder {
  readonly #first = new Uint8Array(2 ** 21)
  readonly #forms = new Map<number, { readonly name: string; readonly form: Buffer }[]>()

  constructor(secrets: ReadonlyMap<string, Buffer>) {
    for (const [name, secret] of secrets) {
      for (const form of forms(secret)) {
        const key = form.readUIntBE(0, 3)
        this.#first[key >> 3]! |= 1 << (key & 7)
        this.#forms.set(key, [...(this.#forms.get(key) ?? []), { name, form }])
      }
    }
  }

  /** Names of what lies in the bytes. */
  findIn(bytes: Buffer): Set<string> {
    const found = new Set<string>()
    let key = 0
    for (let i = 0; i < bytes.length; i++) {
      key = ((key << 8) | bytes[i]!) & 0xffffff
      if (i < 2 || (this.#first[key >> 3]! & (1 << (key & 7))) === 0) continue
      for (const { name, form } of this.#forms.get(key) ?? []) {
        if (bytes.subarray(i - 2, i - 2 + form.length).equals(form)) found.add(name)
      }
    }
    return found
  }
}

/** Core files that a process which ended badly may have left where all of them are started. */
export function coreFiles(): string[] {
  return readdirSync('.').filter((name) => /^core(\.\d+)?$/.test(name))
}

/** Looks through every file of, and below, `places`. @returns `name in file` of each hit, and how much was read */
export function scan(
  places: readonly string[],
  secrets: ReadonlyMap<string, Buffer>,
): { readonly hits: string[]; readonly files: number; readonly bytes: number } {
  const finder = new Finder(secrets)
  const hits: string[] = []
  let files = 0
  let bytes = 0
  const buffer = Buffer.alloc(CHUNK_BYTES)
  const nothing = Buffer.alloc(CHUNK_BYTES)
  for (const path of places.flatMap((place) => [...filesOf(place)])) {
    const found = new Set<string>()
    try {
      const file = openSync(path, 'r')
      files++
      for (let at = 0; ; at += CHUNK_BYTES - OVERLAP_BYTES) {
        const count = readSync(file, buffer, 0, CHUNK_BYTES, at)
        bytes += count
        const chunk = buffer.subarray(0, count)
        // Most of a store's block device is a hole.
        if (!chunk.equals(nothing.subarray(0, count))) for (const name of finder.findIn(chunk)) found.add(name)
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

function* filesOf(place: string): Generator<string> {
  let entries
  try {
    if (statSync(place).isFile()) yield place
    entries = readdirSync(place, { withFileTypes: true })
  } catch {
    return
  }
  for (const entry of entries) {
    const path = join(place, entry.name)
    if (entry.isDirectory()) yield* filesOf(path)
    else if (entry.isFile()) yield path
  }
}
