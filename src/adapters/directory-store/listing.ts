import { readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import type { ObjectInfo } from '../../ports/object-store.ts'
import { isMissing } from './errors.ts'

/**
 * The objects below `root` whose key starts with `prefix`, in order of keys. Reads one fan-out folder at a time, so that
 * memory does not grow with the node. An object that goes away meanwhile is left out.
 * @throws what the file system says; a missing room is an empty one, which is the caller's question.
 */
export async function* listObjects(root: string, prefix: string): AsyncIterable<ObjectInfo> {
  const entries = await readdir(root, { withFileTypes: true })
  const tops = entries
    .filter((entry) => !entry.name.startsWith('.') && (entry.isDirectory() || entry.isFile()))
    .map((entry) => (entry.isDirectory() ? `${entry.name}/` : entry.name))
    .filter((top) => top.startsWith(prefix) || prefix.startsWith(top))
    .sort()
  for (const top of tops) {
    if (top.endsWith('/')) yield* listRoom(join(root, top), top, prefix)
    else if (top.startsWith(prefix)) yield* sized(join(root, top), top)
  }
}

async function* listRoom(folder: string, room: string, prefix: string): AsyncIterable<ObjectInfo> {
  // Two fan-out folders never hold names that interleave: neither is a prefix of the other, save for the folder of a
  // one-character name, which holds that name alone.
  for (const group of await names(folder)) {
    const start = room + group
    if (!start.startsWith(prefix) && !prefix.startsWith(start)) continue
    for (const name of await names(join(folder, group))) {
      if ((room + name).startsWith(prefix)) yield* sized(join(folder, group, name), room + name)
    }
  }
}

async function names(folder: string): Promise<string[]> {
  const found = await readdir(folder).catch((error: unknown) => {
    if (isMissing(error)) return []
    throw error
  })
  return found.filter((name) => !name.startsWith('.')).sort()
}

async function* sized(path: string, key: string): AsyncIterable<ObjectInfo> {
  const info = await stat(path).catch((error: unknown) => {
    if (isMissing(error)) return undefined
    throw error
  })
  if (info?.isFile() === true) yield { key, sizeBytes: info.size }
}
