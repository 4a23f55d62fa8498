import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { nodePrimitives } from '../../../src/adapters/node-primitives.ts'
import { openSpoolFiles } from '../../../src/adapters/spool-files.ts'
import { createSpool } from '../../../src/pipeline/spool.ts'
import { bytesOf } from '../../support/bytes.ts'
import { chunksOf, collect, MemorySpoolKeys, NEVER, RememberedRandom, upload } from './spool-stage.ts'

let folder = ''
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'mosaik-spool-'))
})
afterEach(() => rmSync(folder, { recursive: true, force: true }))

const place = (name = ''): string => join(folder, 'spool', upload, name)
const mode = (path: string): number => statSync(path).mode & 0o777

it('an upload on a real disk comes back, is private, and is removed', async () => {
  const files = openSpoolFiles(join(folder, 'spool'))
  const keys = new MemorySpoolKeys()
  const options = { files, keys, primitives: nodePrimitives, random: new RememberedRandom() }
  const spool = createSpool({ ...options, extentSegments: 2 })
  const content = bytesOf(1_500_000)
  await spool.begin(upload)
  expect(await spool.append(upload, 0, chunksOf(content.slice(0, 700_000), [1, 99_999, 300_000]))).toBe(700_000)
  expect(await createSpool(options).append(upload, 700_000, chunksOf(content.slice(700_000)))).toBe(content.length)
  const read = await collect(spool.read(upload, 'a', content.length, undefined).open(NEVER))
  expect(Buffer.compare(read, content)).toBe(0)
  expect(mode(join(folder, 'spool'))).toBe(0o700)
  expect(mode(place())).toBe(0o700)
  expect(readdirSync(place())).toEqual(['00000000', '00000001', '00000002'])
  for (const name of readdirSync(place())) expect(mode(place(name))).toBe(0o600)
  await spool.rotateKeys()
  await spool.remove(upload)
  expect(existsSync(place())).toBe(false)
  await spool.remove(upload)
})

it('follows no link, and overwrites nothing', async () => {
  const files = openSpoolFiles(join(folder, 'spool'))
  await files.make(upload)
  await files.make(upload)
  writeFileSync(join(folder, 'outside'), 'secret')
  symlinkSync(join(folder, 'outside'), place('00000000'))
  await expect(files.open(upload, '00000000')).rejects.toMatchObject({ code: 'E_SPOOL' })
  await expect(files.create(upload, '00000000')).rejects.toMatchObject({ code: 'E_SPOOL' })
  expect(await files.list(upload)).toEqual([])
  writeFileSync(place('00000001'), 'there')
  writeFileSync(place('00000001.aa.part'), 'new')
  await expect(files.complete(upload, '00000001.aa.part', '00000001')).rejects.toMatchObject({ code: 'E_CONFLICT' })
  mkdirSync(place('00000002'))
  await expect(files.open(upload, '00000002')).rejects.toMatchObject({ code: 'E_SPOOL' })
})

it('takes names of its own only', async () => {
  const files = openSpoolFiles(join(folder, 'spool'))
  for (const name of ['../x', '/etc/passwd', '', 'A', '.part', 'a/b']) {
    await expect(files.create(upload, name)).rejects.toMatchObject({ code: 'E_SPOOL' })
  }
  await expect(files.list('..')).rejects.toMatchObject({ code: 'E_INPUT' })
})

it('knows nothing of what is not there', async () => {
  const files = openSpoolFiles(join(folder, 'spool'))
  expect(await files.list(upload)).toEqual([])
  expect(await files.open(upload, '00000000')).toBeUndefined()
  await files.discard(upload, '00000000')
  expect(await files.uploads()).toEqual([])
})

it('says what is wrong with the disk', async () => {
  const files = openSpoolFiles(join(folder, 'spool')).create
  await expect(files(upload, '00000000')).rejects.toMatchObject({ code: 'E_SPOOL', fields: { cause: 'ENOENT' } })
  expect(() => openSpoolFiles('/dev/null/spool')).toThrow(/disk of the spool|folder of the spool/)
})
