import { appendFileSync, mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { nodeFolder } from '../../../src/adapters/node-folder.ts'
import { createWatchedFolder } from '../../../src/sources/watched-folder.ts'
import { HeldClock } from '../access/stage.ts'
import { ListeningLog } from '../http-api/api-stage.ts'

let root = ''
let outside = ''
beforeEach(() => {
  outside = mkdtempSync(join(tmpdir(), 'mosaik-watch-'))
  root = join(outside, 'in')
  mkdirSync(root)
})
afterEach(() => rmSync(outside, { recursive: true, force: true }))

function stage() {
  const deposited: string[] = []
  const clock = new HeldClock(0)
  const watched = createWatchedFolder({
    folder: nodeFolder(root),
    intake: {
      deposit: (_organisation, { original }) => {
        if (original.kind === 'file') deposited.push(`${original.path.slice(root.length + 1)} ${original.sizeBytes}`)
        return Promise.resolve({ recording: 'bb'.repeat(16), created: true })
      },
    },
    ...{ organisation: 'aa'.repeat(16), clock, log: new ListeningLog(), stableMs: 1_000 },
  })
  return {
    deposited,
    async poll() {
      await clock.move(1_000)
      await watched.poll()
    },
  }
}

it('waits for a growing file, takes a renamed one, refuses links', async () => {
  const { deposited, poll } = stage()
  writeFileSync(join(root, 'growing.mp4'), 'a')
  writeFileSync(join(root, 'coming.mp4.part'), 'abc')
  writeFileSync(join(outside, 'secret.mp4'), 'secret')
  mkdirSync(join(outside, 'elsewhere'))
  writeFileSync(join(outside, 'elsewhere', 'far.mp4'), 'far')
  symlinkSync(join(outside, 'secret.mp4'), join(root, 'link.mp4'))
  symlinkSync(join(outside, 'elsewhere'), join(root, 'sub'))
  await poll()
  appendFileSync(join(root, 'growing.mp4'), 'b')
  await poll()
  expect(deposited).toEqual([])
  renameSync(join(root, 'coming.mp4.part'), join(root, 'coming.mp4'))
  await poll()
  expect(deposited).toEqual(['growing.mp4 2'])
  await poll()
  expect(deposited).toEqual(['growing.mp4 2', 'coming.mp4 3'])
})

it('opens what it is asked for, and nothing else', async () => {
  const folder = nodeFolder(root)
  writeFileSync(join(root, 'a.json'), '{"v":1}')
  symlinkSync(join(root, 'a.json'), join(root, 'b.json'))
  expect(await folder.readText('a.json', 100)).toBe('{"v":1}')
  await expect(folder.readText('a.json', 3)).rejects.toMatchObject({ code: 'E_SOURCE_UNREADABLE' })
  for (const path of ['b.json', 'none.json', '../in/b.json']) {
    expect(await folder.stat(path), path).toBeUndefined()
    await expect(folder.readText(path, 100)).rejects.toMatchObject({ code: 'E_SOURCE_UNREADABLE' })
  }
  expect(() => folder.absolute('../x')).toThrow(/leads out/)
  writeFileSync(join(root, 'latin.json'), Buffer.from([0xff, 0xfe, 0x41]))
  await expect(folder.readText('latin.json', 100)).rejects.toThrow(/UTF-8/)
})

it('says when the folder is not there', async () => {
  await expect(nodeFolder(join(root, 'none')).list()).rejects.toMatchObject({ code: 'E_SOURCE_UNREADABLE' })
})
