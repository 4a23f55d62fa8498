import { execFileSync } from 'node:child_process'
import { readdirSync, readlinkSync } from 'node:fs'
import { mkdtemp, open, rename, rm, symlink, unlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { OpenFiles } from '../../../src/adapters/directory-store/open-files.ts'

const KEPT_MS = 2000
const KEPT_FILES = 64

let folder: string
let files: OpenFiles

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'mosaik-open-files-'))
  files = new OpenFiles()
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
})

afterEach(async () => {
  files.forgetAll()
  vi.useRealTimers()
  await rm(folder, { recursive: true })
})

async function fileWith(name: string, text: string): Promise<string> {
  const path = join(folder, name)
  await writeFile(path, text)
  return path
}

const read = (path: string): Promise<string> => files.use(path, textOf)

async function textOf(file: {
  read(at: Uint8Array, from: number, length: number, position: number): Promise<unknown>
}) {
  const bytes = new Uint8Array(5)
  await file.read(bytes, 0, 5, 0)
  return Buffer.from(bytes).toString()
}

/** Of this process, below the folder. */
function openNow(): string[] {
  const target = (fd: string): string => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`)
    } catch {
      return ''
    }
  }
  return readdirSync('/proc/self/fd')
    .map(target)
    .filter((path) => path.startsWith(folder))
}

const untilOpen = (count: number): Promise<void> => vi.waitUntil(() => openNow().length === count, 5000).then(() => {})

describe.runIf(process.platform === 'linux')('files that ranges are read from', () => {
  it('are opened once for one range after the other, and for several at a time', async () => {
    const path = await fileWith('a', 'first')
    expect(await Promise.all([read(path), read(path), read(path)])).toEqual(['first', 'first', 'first'])
    expect(await read(path)).toBe('first')
    expect(openNow()).toEqual([path])
  })

  it('are closed when the time is over, though they were read meanwhile', async () => {
    const path = await fileWith('a', 'first')
    await read(path)
    vi.advanceTimersByTime(KEPT_MS - 1)
    await read(path)
    expect(openNow()).toEqual([path])
    vi.advanceTimersByTime(1)
    await untilOpen(0)
  })

  it('that another process replaced or removed are read no longer than that', async () => {
    const [replaced, removed] = [await fileWith('a', 'first'), await fileWith('b', 'other')]
    await Promise.all([read(replaced), read(removed)])
    await rename(await fileWith('new', 'after'), replaced)
    await unlink(removed)
    vi.advanceTimersByTime(KEPT_MS)
    expect(await read(replaced)).toBe('after')
    await expect(read(removed)).rejects.toMatchObject({ code: 'ENOENT' })
  })

  it('that are forgotten are opened anew, and a call on its way ends with the former one', async () => {
    const path = await fileWith('a', 'first')
    let go = (): void => {}
    const gone = new Promise<void>((resolve) => (go = resolve))
    const slow = files.use(path, async (file) => {
      await gone
      return textOf(file)
    })
    await untilOpen(1)
    await rename(await fileWith('new', 'after'), path)
    files.forget(path)
    expect(await read(path)).toBe('after')
    expect(openNow()).toHaveLength(2)
    go()
    expect(await slow).toBe('first')
    await untilOpen(1)
  })

  it('are opened anew after an error', async () => {
    const path = await fileWith('a', 'first')
    await expect(files.use(path, () => Promise.reject(new Error('EIO')))).rejects.toThrow('EIO')
    await untilOpen(0)
    await rename(await fileWith('new', 'after'), path)
    expect(await read(path)).toBe('after')
  })

  it('that another machine replaced on a network are opened anew at once, those just opened are not', async () => {
    const stale = Object.assign(new Error('stale file handle'), { code: 'ESTALE' })
    const path = await fileWith('a', 'first')
    await expect(files.use(path, () => Promise.reject(stale))).rejects.toBe(stale)
    await read(path)
    const former = openNow().length
    await rename(await fileWith('new', 'after'), path)
    let calls = 0
    const text = await files.use(path, (file) => (calls++ === 0 ? Promise.reject(stale) : textOf(file)))
    expect([text, calls, former]).toEqual(['after', 2, 1])
    await untilOpen(1)
  })

  it('that cannot be opened are asked for again', async () => {
    const path = join(folder, 'a')
    await expect(read(path)).rejects.toMatchObject({ code: 'ENOENT' })
    await fileWith('a', 'there')
    expect(await read(path)).toBe('there')
  })

  it('are not links', async () => {
    await symlink(await fileWith('a', 'first'), join(folder, 'link'))
    await expect(read(join(folder, 'link'))).rejects.toMatchObject({ code: 'ELOOP' })
  })

  it(`are at most ${KEPT_FILES}: the one that was opened first is left`, async () => {
    const paths = []
    for (let i = 0; i < KEPT_FILES + 3; i++) paths.push(await fileWith(String(i), 'bytes'))
    for (const path of paths) expect(await read(path)).toBe('bytes')
    await untilOpen(KEPT_FILES)
    expect(openNow().toSorted()).toEqual(paths.slice(3).toSorted())
  })

  it('whose opening never ends do not hold up later calls', async () => {
    const path = join(folder, 'a')
    execFileSync('mkfifo', [path]) // opening it for reading waits for a writer
    // a pipe has no positions: what matters is that the call ends and its file is closed
    const ended = expect(read(path)).rejects.toMatchObject({ code: 'ESPIPE' })
    vi.advanceTimersByTime(KEPT_MS)
    await rename(path, join(folder, 'fifo'))
    await fileWith('a', 'there')
    expect(await read(path)).toBe('there')
    const writer = await open(join(folder, 'fifo'), 'w')
    await ended
    await writer.close()
    await untilOpen(1)
  })
})
