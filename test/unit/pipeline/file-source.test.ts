import { execFileSync } from 'node:child_process'
import {
  appendFileSync,
  existsSync,
  mkdtempSync,
  renameSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { describeFile, fileSource, releaseFile } from '../../../src/adapters/file-source.ts'
import { isMosaikError, type ErrorCode } from '../../../src/domain/errors.ts'
import { bytesOf } from '../../support/bytes.ts'

const never = new AbortController().signal
const content = bytesOf(2_500_000)
let folder: string
let path: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'mosaik-source-'))
  path = join(folder, 'meeting.mp4')
  writeFileSync(path, content)
})
afterEach(() => rmSync(folder, { recursive: true }))

const more = { captions: [], sha256: null, people: null, deleteAfterReceipt: true, kind: 'file' as const }
const offer = async (of = path) => ({ ...more, path: of, ...(await describeFile(of)) })

async function read(input: Awaited<ReturnType<typeof offer>>, during?: (chunks: number) => void): Promise<Buffer> {
  const chunks: Uint8Array[] = []
  for await (const chunk of fileSource(input).original.open(never)) {
    chunks.push(Uint8Array.from(chunk))
    during?.(chunks.length)
  }
  return Buffer.concat(chunks)
}

async function codeOf(task: Promise<unknown>): Promise<ErrorCode> {
  const error: unknown = await task.then(
    () => undefined,
    (failure: unknown) => failure,
  )
  if (!isMosaikError(error)) throw new Error('it did not fail as it should', { cause: error })
  return error.code
}

describe('a file as a source', () => {
  it('can be read as often as needed', async () => {
    const input = await offer()
    for (let i = 0; i < 2; i++) expect((await read(input)).equals(content)).toBe(true)
    expect(fileSource(input).original).toMatchObject({ name: 'meeting.mp4', sizeBytes: content.length })
  })

  it('refuses one that is not what was offered, before and after it was read', async () => {
    const input = await offer()
    expect(await codeOf(read({ ...input, sizeBytes: 5 }))).toBe('E_SOURCE_CHANGED')
    expect(await codeOf(read(input, (chunks) => chunks === 2 && utimesSync(path, 1, 1)))).toBe('E_SOURCE_CHANGED')
    expect(await codeOf(read(input))).toBe('E_SOURCE_CHANGED')
  })

  it('ends soon on a file that grows as fast as it is read', async () => {
    const input = await offer()
    let most = 0
    const growing = read(input, (chunks) => {
      most = chunks
      appendFileSync(path, new Uint8Array(1024 * 1024))
    })
    expect(await codeOf(growing)).toBe('E_SOURCE_CHANGED')
    expect(most).toBeLessThan(5)
  })

  it('takes plain files only: no link, no folder, no pipe, and waits for none', async () => {
    const input = await offer()
    const link = join(folder, 'link.mp4')
    symlinkSync(path, link)
    const pipe = join(folder, 'pipe.mp4')
    execFileSync('mkfifo', [pipe])
    for (const other of [link, pipe, folder, join(folder, 'none.mp4')]) {
      expect(await codeOf(describeFile(other))).toBe('E_SOURCE_UNREADABLE')
      expect(await codeOf(read({ ...input, path: other }))).toBe('E_SOURCE_UNREADABLE')
    }
    expect(await codeOf(releaseFile({ ...input, path: link }))).toBe('E_SOURCE_UNREADABLE')
    expect(existsSync(path)).toBe(true)
  })

  it('stops when it is aborted', async () => {
    const controller = new AbortController()
    const reading = async (): Promise<void> => {
      for await (const chunk of fileSource(await offer()).original.open(controller.signal)) {
        expect(chunk.length).toBeGreaterThan(0)
        controller.abort(new Error('enough'))
      }
    }
    await expect(reading()).rejects.toThrow('enough')
  })
})

describe('letting go of the source', () => {
  it('deletes the file and its captions once, and only when the offer said so', async () => {
    const captionsPath = join(folder, 'meeting.vtt')
    writeFileSync(captionsPath, 'WEBVTT\n')
    const captions = [{ path: captionsPath, ...(await describeFile(captionsPath)) }]
    const input = { ...(await offer()), captions }
    await releaseFile({ ...input, deleteAfterReceipt: false })
    expect(existsSync(path)).toBe(true)
    await releaseFile(input)
    expect([existsSync(path), existsSync(captionsPath)]).toEqual([false, false])
    await releaseFile(input)
  })

  it('keeps captions that were changed since, and those of which nothing is known', async () => {
    const [changed, gone, unknown] = ['a.de.vtt', 'a.en.vtt', 'a.fr.vtt'].map((name) => join(folder, name))
    for (const one of [changed!, gone!, unknown!]) writeFileSync(one, 'WEBVTT\n')
    const captions = []
    for (const one of [changed!, gone!]) captions.push({ path: one, ...(await describeFile(one)) })
    captions.push({ path: unknown!, sizeBytes: -1, modifiedAtMs: 0 })
    writeFileSync(changed!, 'WEBVTT\n\nmore')
    rmSync(gone!)
    await releaseFile({ ...(await offer()), captions })
    expect([path, changed!, unknown!].map((one) => existsSync(one))).toEqual([false, true, true])
  })

  it('keeps what was put there since', async () => {
    const input = await offer()
    renameSync(path, `${path}.old`)
    writeFileSync(path, 'another recording')
    await releaseFile(input)
    expect(existsSync(path)).toBe(true)
  })
})
