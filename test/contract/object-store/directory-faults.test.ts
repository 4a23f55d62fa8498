import { mkdir, mkdtemp, open, readdir, rename, rm, stat, truncate, utimes, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { openStore, probeNode } from '../../../src/adapters/open-store.ts'
import type { NodeCapabilities } from '../../../src/ports/node-driver.ts'
import type { ObjectStore } from '../../../src/ports/object-store.ts'
import { all, codeOf, never, world } from './world.ts'

describe('directory, failing', () => {
  let path: string
  let store: ObjectStore
  const bytes = new Uint8Array(100_000).fill(7)
  const capabilities: NodeCapabilities = { driver: 'directory', probedAtMs: 0, freeBytes: 0, device: '0' }
  const reopen = (registration = false): Promise<ObjectStore> =>
    openStore({ driver: 'directory', path }, capabilities, world, { registration })

  beforeEach(async () => {
    path = await mkdtemp(join(tmpdir(), 'mosaik-directory-'))
    const registering = await reopen(true)
    await registering.put('mosaik-node', bytes.subarray(0, 42), never())
    store = await reopen()
  })
  afterEach(async () => {
    await rm(path, { recursive: true, force: true })
    await rm(`${path}-unmounted`, { recursive: true, force: true })
  })

  it('a folder without marker opens only for registration', async () => {
    await rm(join(path, 'mosaik-node'))
    expect(await codeOf(reopen())).toBe('E_NODE_UNREACHABLE')
    await reopen(true)
    await rm(path, { recursive: true })
    expect(await codeOf(reopen(true))).toBe('E_NODE_UNREACHABLE')
  })

  it('a disk that is unmounted while in use is E_NODE_UNREACHABLE, not empty, and nothing is written beside it', async () => {
    await store.put('f/there', bytes, never())
    const writer = await store.create('f/open', never())
    await writer.write(bytes)
    await rename(path, `${path}-unmounted`)
    await mkdir(path)
    const calls = [
      store.get('f/there', undefined, never()),
      store.head('f/there', never()),
      store.delete('f/there', never()),
      store.put('f/new', bytes, never()),
      store.create('f/new', never()),
      all(store.list('', never())),
      writer.commit(),
    ]
    expect(new Set(await Promise.all(calls.map(codeOf)))).toEqual(new Set(['E_NODE_UNREACHABLE']))
    await writer.abort()
    expect(await readdir(path)).toEqual([])
    await rm(path, { recursive: true })
    await rename(`${path}-unmounted`, path)
    expect((await store.get('f/there', undefined, never())).length).toBe(bytes.length)
  })

  it('a byte that changes between writing and reading back is E_NODE_CORRUPT, and nothing shows', async () => {
    const writer = await store.create('f/flipped', never())
    await writer.write(bytes)
    const [temporary = ''] = await readdir(join(path, '.tmp'))
    const file = await open(join(path, '.tmp', temporary), 'r+')
    await file.write(Uint8Array.of(8), 0, 1, 50_000)
    await file.close()
    expect(await codeOf(writer.commit())).toBe('E_NODE_CORRUPT')
    await writer.abort()
    expect(await store.head('f/flipped', never())).toBeUndefined()
    expect(await readdir(join(path, '.tmp'))).toEqual([])
  })

  it('a file that was cut is E_OBJECT_RANGE', async () => {
    await store.put('f/abcut', bytes, never())
    await truncate(join(path, 'f', 'ab', 'abcut'), 50_000)
    expect(await codeOf(store.get('f/abcut', { offsetBytes: 49_999, lengthBytes: 2 }, never()))).toBe('E_OBJECT_RANGE')
    expect((await store.get('f/abcut', { offsetBytes: 0, lengthBytes: 50_000 }, never())).length).toBe(50_000)
  })

  it('objects lie where docs/FORMAT.md says, and a removed folder is made again', async () => {
    await store.put('f/0123', bytes, never())
    expect((await stat(join(path, 'f', '01', '0123'))).size).toBe(bytes.length)
    await rm(join(path, 'f'), { recursive: true })
    await store.put('f/0123', bytes, never())
    expect((await stat(join(path, 'f', '01', '0123'))).size).toBe(bytes.length)
  })

  it('temporary files of dead processes go, those of living ones stay, and none is listed', async () => {
    const writer = await store.create('f/alive', never())
    const dead = join(path, '.tmp', 'dead')
    await writeFile(dead, 'x')
    const yesterday = Date.now() / 1000 - 25 * 3600
    await utimes(dead, yesterday, yesterday)
    expect((await all(store.list('', never()))).map((info) => info.key)).toEqual(['mosaik-node'])
    await reopen()
    expect(await readdir(join(path, '.tmp'))).not.toContain('dead')
    await writer.write(bytes)
    await writer.commit()
  })

  it('is probed without a trace', async () => {
    await rm(path, { recursive: true })
    await mkdir(path)
    const found = await probeNode({ driver: 'directory', path }, world, never())
    expect(found).toMatchObject({ driver: 'directory', device: String((await stat(path)).dev) })
    expect(found.driver === 'directory' && found.freeBytes > 0).toBe(true)
    expect(await readdir(path)).toEqual([])
    expect(await codeOf(probeNode({ driver: 'directory', path: join(path, 'missing') }, world, never()))).toBe(
      'E_NODE_UNREACHABLE',
    )
  })
})
