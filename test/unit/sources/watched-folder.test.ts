import { beforeEach, describe, expect, it } from 'vitest'
import { MosaikError } from '../../../src/domain/errors.ts'
import type { Folder, FolderFile } from '../../../src/ports/folder.ts'
import type { SourceOffer, SourcePlace } from '../../../src/ports/source.ts'
import {
  createWatchedFolder,
  startWatchedFolder,
  type WatchedFolderOptions,
} from '../../../src/sources/watched-folder.ts'
import { HeldClock } from '../access/stage.ts'
import { ListeningLog } from '../http-api/api-stage.ts'

const organisation = 'aa'.repeat(16)

/** A folder in memory. */
class MemoryFolder implements Folder {
  readonly files = new Map<string, FolderFile & { text: string }>()
  fault: Error | undefined
  #inode = 100

  put(path: string, text = 'film', modifiedAtMs = 1_000): void {
    const inode = this.files.get(path)?.inode ?? String(this.#inode++)
    this.files.set(path, { path, text, sizeBytes: text.length, modifiedAtMs, inode })
  }

  list = (): Promise<FolderFile[]> =>
    this.fault ? Promise.reject(this.fault) : Promise.resolve([...this.files.values()])
  stat = (path: string): Promise<FolderFile | undefined> => Promise.resolve(this.files.get(path))
  absolute = (path: string): string => `/in/${path}`
  readText = (path: string, maxBytes: number): Promise<string> => {
    const file = this.files.get(path)
    if (!file || file.text.length > maxBytes) return Promise.reject(new MosaikError('E_SOURCE_UNREADABLE', 'no'))
    return Promise.resolve(file.text)
  }
}

function stage(more: Partial<WatchedFolderOptions> = {}) {
  const folder = new MemoryFolder()
  const clock = new HeldClock(1_000_000)
  const log = new ListeningLog()
  const offers: SourceOffer[] = []
  const known = new Map<string, string>()
  const trouble: { error?: Error } = {}
  const intake: WatchedFolderOptions['intake'] = {
    deposit: (_organisation, offer) => {
      if (trouble.error) return Promise.reject(trouble.error)
      offers.push(offer)
      const key = `${offer.info.source.kind} ${offer.info.source.externalId}`
      const created = !known.has(key)
      known.set(key, known.get(key) ?? 'bb'.repeat(16))
      return Promise.resolve({ recording: known.get(key) ?? '', created })
    },
  }
  const options = { folder, intake, organisation, clock, log, stableMs: 60_000, ...more }
  const watched = createWatchedFolder(options)
  return {
    ...{ folder, clock, log, offers, known, trouble, options, watched },
    async pollAfter(seconds: number) {
      await clock.move(seconds * 1000)
      await watched.poll()
    },
    restart: () => createWatchedFolder(options),
  }
}

let at: ReturnType<typeof stage>
beforeEach(() => {
  at = stage()
})

const pathOf = (place: SourcePlace): string => (place.kind === 'file' ? place.path : '')
const paths = (): string[] => at.offers.map(({ original }) => pathOf(original))

describe('a recording is taken', () => {
  it('when it looked the same on two polls far enough apart', async () => {
    at.folder.put('a.mp4')
    await at.pollAfter(0)
    await at.pollAfter(59)
    expect(at.offers).toEqual([])
    await at.pollAfter(1)
    expect(paths()).toEqual(['/in/a.mp4'])
    await at.pollAfter(600)
    expect(at.offers).toHaveLength(1)
  })

  it('not while it grows, is touched or replaced', async () => {
    at.folder.put('a.mp4', 'f')
    await at.pollAfter(0)
    at.folder.put('a.mp4', 'fi')
    await at.pollAfter(60)
    at.folder.put('a.mp4', 'fi', 2_000)
    await at.pollAfter(60)
    at.folder.files.delete('a.mp4')
    at.folder.put('a.mp4', 'fi', 2_000)
    await at.pollAfter(60)
    expect(at.offers).toEqual([])
    await at.pollAfter(60)
    expect(at.offers).toHaveLength(1)
  })

  it('not on the first poll, even when nothing is to be waited for', async () => {
    at = stage({ stableMs: 0 })
    at.folder.put('a.mp4')
    await at.pollAfter(0)
    expect(at.offers).toEqual([])
    await at.pollAfter(0)
    expect(at.offers).toHaveLength(1)
  })

  it.each(['a.done', 'a.mp4.done'])('at once when %s says so', async (marker) => {
    at.folder.put('a.mp4')
    at.folder.put(marker, '')
    await at.pollAfter(0)
    expect(paths()).toEqual(['/in/a.mp4'])
  })

  it('not when it is another file by the time it is opened', async () => {
    at.folder.put('a.mp4')
    await at.pollAfter(0)
    await at.clock.move(60_000)
    const stat = at.folder.stat
    at.folder.stat = (path) => stat(path).then((file) => file && { ...file, inode: '7' })
    await at.watched.poll()
    expect(at.offers).toEqual([])
    at.folder.stat = () => Promise.resolve(undefined)
    await at.pollAfter(60)
    expect(at.offers).toEqual([])
  })

  it('only when it is one, and finished', async () => {
    const left = [
      'a.part',
      'a.mp4.part',
      'b.tmp',
      'c.crdownload',
      'd.filepart',
      '~e.mp4',
      '.f.mp4',
      'g.zoom',
      '.nfs01',
      'h.txt',
    ]
    for (const path of [...left, '.hidden/i.mp4', 'j.vtt', 'k.json', 'l.done', 'sub/ok.MKV']) at.folder.put(path)
    at.folder.put('empty.mp4', '')
    await at.pollAfter(0)
    await at.pollAfter(60)
    expect(paths()).toEqual(['/in/sub/ok.MKV'])
  })

  it('by the rules it was given', async () => {
    at = stage({ include: ['rec-*.bin'], ignore: ['*-draft.*'], minBytes: 4 })
    for (const path of ['rec-1.bin', 'rec-2-draft.bin', 'other.mp4']) at.folder.put(path, 'film')
    at.folder.put('rec-3.bin', 'f')
    await at.pollAfter(0)
    await at.pollAfter(60)
    expect(paths()).toEqual(['/in/rec-1.bin'])
  })

  it('once, over restarts', async () => {
    at.folder.put('a.mp4')
    for (const watched of [at.watched, at.restart(), at.restart()]) {
      await watched.poll()
      await at.clock.move(60_000)
      await watched.poll()
    }
    expect(at.known.size).toBe(1)
    expect(at.offers[0]?.info.source).toEqual({ kind: 'folder', externalId: 'fs:a.mp4:4:1000' })
  })
})

describe('what it says', () => {
  const sidecar = {
    v: 1,
    ...{ source: 'tixeo', externalId: 'meeting 7', title: 'Board', startedAt: '2026-11-23T08:01:00+01:00' },
    durationSec: 3300,
    host: { id: 'ada', name: '', email: 'ada@example.org' },
    participants: [{ name: 'Grace', email: '' }],
    files: [
      { path: 'a.mp4', kind: 'video', sha256: 'AB'.repeat(32) },
      { path: 'words.srt', kind: 'captions' },
    ],
  }

  it('comes from the file alone', async () => {
    at = stage({ deleteAfterReceipt: true, source: 'drop', host: 'team' })
    at.folder.put('talks/Weekly meeting.mp4')
    at.folder.put('talks/Weekly meeting.srt', 'words')
    await at.pollAfter(0)
    await at.pollAfter(60)
    expect(at.offers).toEqual([
      {
        info: {
          title: 'Weekly meeting',
          source: { kind: 'drop', externalId: 'fs:talks/Weekly meeting.mp4:4:1000' },
          host: { id: 'team', name: null, email: null },
          participants: [],
          startedAtMs: null,
        },
        original: {
          ...{
            kind: 'file',
            path: '/in/talks/Weekly meeting.mp4',
            sizeBytes: 4,
            modifiedAtMs: 1000,
            deleteAfterReceipt: true,
          },
        },
        captions: [
          {
            kind: 'file',
            path: '/in/talks/Weekly meeting.srt',
            sizeBytes: 5,
            modifiedAtMs: 1000,
            deleteAfterReceipt: true,
          },
        ],
      },
    ])
  })

  it('has captions in several languages, each of one recording, WebVTT before SubRip', async () => {
    for (const path of ['talk.mp4', 'talk.de.mp4', 'talk.rec.mp4', 'walk.mp4', 'mp4.mkv']) at.folder.put(path)
    const captions = ['talk.vtt', 'talk.en.srt', 'talk.en.vtt', 'talk.pt-BR.VTT', 'talk.de.vtt', 'talk.de.fr.srt']
    for (const path of [...captions, 'talk.notes.of.vtt', 'walk.EN.vtt', '.de.vtt']) at.folder.put(path, 'words')
    await at.pollAfter(0)
    await at.pollAfter(60)
    const found = at.offers.map((offer) => [pathOf(offer.original), ...offer.captions.map(pathOf)])
    expect(found.sort()).toEqual([
      ['/in/mp4.mkv'],
      ['/in/talk.de.mp4', '/in/talk.de.fr.srt', '/in/talk.de.vtt'],
      ['/in/talk.mp4', '/in/talk.en.vtt', '/in/talk.pt-BR.VTT', '/in/talk.vtt'],
      ['/in/talk.rec.mp4'],
      ['/in/walk.mp4', '/in/walk.EN.vtt'],
    ])
  })

  it('waits for captions that are still being written', async () => {
    at.folder.put('talk.mp4')
    at.folder.put('talk.de.vtt', 'words')
    await at.pollAfter(0)
    at.folder.put('talk.en.vtt', 'wor')
    await at.pollAfter(60)
    at.folder.put('talk.en.vtt', 'words', 2_000)
    await at.pollAfter(60)
    expect(at.offers).toEqual([])
    await at.pollAfter(60)
    expect(at.offers[0]?.captions).toMatchObject([{ sizeBytes: 5 }, { path: '/in/talk.en.vtt', sizeBytes: 5 }])
  })

  it('leaves captions beyond the thirty-second', async () => {
    at.folder.put('talk.mp4')
    for (let i = 0; i < 40; i++) at.folder.put(`talk.a${String.fromCharCode(97 + (i % 26))}-${10 + i}.vtt`, 'words')
    await at.pollAfter(0)
    await at.pollAfter(60)
    expect(at.offers[0]?.captions).toHaveLength(32)
  })

  it.each(['a.json', 'a.mp4.json'])('comes from %s', async (path) => {
    at.folder.put('a.mp4')
    at.folder.put('a.vtt')
    at.folder.put('words.srt')
    at.folder.put(path, JSON.stringify(sidecar))
    await at.pollAfter(0)
    await at.pollAfter(60)
    expect(at.offers).toMatchObject([
      {
        info: {
          title: 'Board',
          source: { kind: 'tixeo', externalId: 'meeting 7' },
          host: { id: 'ada', name: null, email: 'ada@example.org' },
          participants: [{ name: 'Grace', email: null }],
          startedAtMs: Date.parse('2026-11-23T07:01:00Z'),
        },
        original: { path: '/in/a.mp4', sha256: 'ab'.repeat(32), deleteAfterReceipt: false },
        captions: [{ path: '/in/words.srt' }],
      },
    ])
  })

  it.each([
    ['{', /not valid JSON/],
    ['{"v":2}', /v: /],
    ['{"v":1,"colour":"red"}', /no field colour/],
    ['{"v":1,"startedAt":"yesterday"}', /startedAt: must be a time with its zone/],
    ['{"v":1,"files":[{"path":"../x.mp4","kind":"video"}]}', /files\.0\.path/],
    ['{"v":1,"files":[{"path":"b.mp4","kind":"video"}]}', /does not name the recording/],
    ['{"v":1,"files":[{"path":"a.mp4","kind":"video"},{"path":"no.vtt","kind":"captions"}]}', /captions are not there/],
  ])('is refused, once and aloud, when the sidecar is %s', async (text, words) => {
    at.folder.put('a.mp4')
    at.folder.put('a.json', text)
    at.folder.put('fine.mp4')
    await at.pollAfter(0)
    for (let i = 0; i < 5; i++) await at.pollAfter(60)
    expect(paths()).toEqual(['/in/fine.mp4'])
    const complaints = at.log.lines.filter((line) => line.startsWith('error folder.refused'))
    expect(complaints).toHaveLength(1)
    expect(complaints[0]).toMatch(words)
    at.folder.put('a.json', '{"v":1,"title":"Mended"}', 2_000)
    await at.pollAfter(60)
    await at.pollAfter(60)
    expect(at.offers.at(-1)?.info.title).toBe('Mended')
  })

  it('is refused when a sidecar could belong to two recordings', async () => {
    for (const path of ['a.mp4', 'a.mkv']) at.folder.put(path)
    at.folder.put('a.json', '{"v":1,"externalId":"x"}')
    await at.pollAfter(0)
    await at.pollAfter(60)
    expect(at.offers).toEqual([])
    expect(at.log.lines.join()).toContain('a.mp4.json')
  })
})

describe('trouble', () => {
  it('that may pass is tried again, what intake refuses is not, and no name comes into the log', async () => {
    at.folder.put('secret-title.mp4')
    at.trouble.error = new MosaikError('E_INTERNAL', 'the catalog does not answer')
    await at.pollAfter(0)
    await at.pollAfter(60)
    at.trouble.error = new Error('anything')
    await at.pollAfter(60)
    delete at.trouble.error
    await at.pollAfter(1)
    expect(at.offers).toHaveLength(1)
    at.folder.put('b.mp4')
    at.trouble.error = new MosaikError('E_INPUT', 'title must not be empty')
    for (let i = 0; i < 4; i++) await at.pollAfter(60)
    expect(at.log.lines.filter((line) => line.includes('folder.refused'))).toHaveLength(1)
    expect(at.log.lines.join()).not.toContain('secret-title')
  })

  it('with the folder itself never ends the watch', async () => {
    at.folder.fault = new MosaikError('E_SOURCE_UNREADABLE', 'the watched folder cannot be read (ENOENT)')
    const running = startWatchedFolder(at.options)
    await at.clock.move(20_000)
    at.folder.fault = undefined
    at.folder.put('a.mp4')
    for (let i = 0; i < 10; i++) await at.clock.move(20_000)
    await running.close()
    expect(at.log.lines[0]).toMatch(/folder.poll-failed.*ENOENT/)
    expect(paths()).toEqual(['/in/a.mp4'])
  })
})
