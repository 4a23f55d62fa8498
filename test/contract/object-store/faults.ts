import { setTimeout as sleep } from 'node:timers/promises'
import { inspect } from 'node:util'
import { ListObjectVersionsCommand } from '@aws-sdk/client-s3'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { openStore } from '../../../src/adapters/open-store.ts'
import type { Integrity, NodeCapabilities, S3Settings } from '../../../src/ports/node-driver.ts'
import type { ObjectStore } from '../../../src/ports/object-store.ts'
import { createBucket, rawClient } from '../../support/services/buckets.ts'
import type { S3Node } from '../../support/services/service.ts'
import { flipInside, startTamperProxy, type TamperProxy } from '../../support/services/tamper-proxy.ts'
import { unfinishedUploads } from '../../support/services/unfinished-uploads.ts'
import { all, codeOf, errorOf, impatientWorld, never, world } from './world.ts'

const MiB = 1024 * 1024
const PART = 8 * MiB

/** Longest time a call to a silent node may take for an impatient store: less than a patient one waits before it asks again. */
const SILENT_MS = 20_000

/** What an S3 store does when the network, the service or the credentials fail. Call inside a `describe`. */
export function s3Faults(getNode: () => S3Node): void {
  let settings: S3Settings
  let proxy: TamperProxy
  let store: ObjectStore
  const stores: ObjectStore[] = []
  const filled = new Uint8Array(PART + MiB).fill(0x5a)

  async function open(
    over: Partial<S3Settings>,
    integrity: Integrity = 'signed-sha256',
    inWorld = world,
  ): Promise<ObjectStore> {
    const capabilities: NodeCapabilities = {
      driver: 's3',
      probedAtMs: 0,
      integrity,
      versioning: 'off',
      listsVersions: true,
      objectLock: false,
      reportedRegion: null,
      clockSkewMs: 0,
    }
    const opened = await openStore({ ...settings, ...over }, capabilities, inWorld, { label: 'faulty' })
    stores.push(opened)
    return opened
  }

  beforeAll(async () => {
    settings = await createBucket(getNode())
    proxy = await startTamperProxy(settings.endpoint)
    store = await open({ endpoint: proxy.endpoint })
  })
  beforeEach(() => {
    proxy.rule = undefined
  })
  afterAll(async () => {
    for (const opened of stores) await opened.close()
    await proxy?.close()
  })

  async function callsOf(target: ObjectStore, key: string): Promise<string[]> {
    const calls = [
      target.get(key, { offsetBytes: 0, lengthBytes: 3 }, never()),
      target.head(key, never()),
      target.put(key, filled.subarray(0, 3), never()),
      target.delete(key, never()),
      all(target.list('f/', never())),
      target.create(key, never()).then(async (writer) => {
        try {
          await writer.write(filled)
          await writer.commit()
        } finally {
          await writer.abort()
        }
      }),
    ]
    return Promise.all(calls.map(codeOf))
  }

  const six = (code: string): string[] => Array.from({ length: 6 }, () => code)

  describe('credentials and bucket', () => {
    it.each(['secretAccessKey', 'accessKeyId'] as const)('a wrong %s is E_NODE_REFUSED everywhere', async (field) => {
      expect(await callsOf(await open({ [field]: 'WRONG:KEY' }), 'f/refused')).toEqual(six('E_NODE_REFUSED'))
    })

    it('a bucket that is not there is E_NODE_UNREACHABLE, never an absent object or a confirmed deletion', async () => {
      expect(await callsOf(await open({ bucket: `${settings.bucket}-not` }), 'f/nowhere')).toEqual(
        six('E_NODE_UNREACHABLE'),
      )
    })

    it('no error shows a key', async () => {
      const wrong = { accessKeyId: 'AKWRONGWRONGWRONG', secretAccessKey: 'sesame-sesame-sesame' }
      const failures = [
        errorOf((await open(wrong)).head('f/a', never())),
        errorOf((await open({ secretAccessKey: wrong.secretAccessKey })).get('f/a', undefined, never())),
        errorOf((await open({ ...wrong, endpoint: 'http://127.0.0.1:9' })).put('f/a', filled.subarray(0, 9), never())),
        errorOf((await open({ ...wrong, endpoint: 'http://127.0.0.1:9' })).delete('f/a', never())),
        errorOf((await open({ ...wrong, bucket: 'not-there' })).get('f/a', undefined, never())),
      ]
      for (const error of await Promise.all(failures)) {
        const shown = inspect(error, { depth: 20, showHidden: true }) + JSON.stringify(error) + String(error.stack)
        expect(error.cause).toBeInstanceOf(Error)
        for (const secret of [...Object.values(wrong), settings.accessKeyId, settings.secretAccessKey]) {
          expect(shown.includes(secret)).toBe(false)
        }
      }
    })
  })

  describe('a damaged connection', () => {
    it('bytes damaged on their way there are E_NODE_CORRUPT, and nothing is stored', async () => {
      proxy.rule = flipInside('up', 0x5a)
      expect(await codeOf(store.put('f/damaged', filled.subarray(0, MiB), never()))).toBe('E_NODE_CORRUPT')
      const writer = await store.create('f/damaged', never())
      const write = async (): Promise<void> => {
        for (let i = 0; i < 4; i++) await writer.write(filled)
        await writer.commit()
      }
      expect(await codeOf(write())).toBe('E_NODE_CORRUPT')
      proxy.rule = undefined
      await writer.abort()
      expect(await store.head('f/damaged', never())).toBeUndefined()
      expect(await unfinishedUploads(settings)).toEqual([])
    })

    it('one damaged part is sent again', async () => {
      const flip = flipInside('up', 0x5a)
      let damage = 1
      proxy.rule = (chunk, direction, seen) => {
        const damaged = damage > 0 ? flip(chunk, direction, seen) : undefined
        if (damaged !== undefined) damage--
        return damaged
      }
      const writer = await store.create('f/again', never())
      await writer.write(filled)
      await writer.commit()
      expect(damage).toBe(0)
      const found = await store.get('f/again', undefined, never())
      expect(Buffer.compare(found, filled)).toBe(0)
    })

    it('what reads back otherwise is E_NODE_CORRUPT where no checksum is enforced, and is removed', async () => {
      const distrustful = await open({ endpoint: proxy.endpoint }, 'read-back')
      await distrustful.put('f/good', filled.subarray(0, MiB), never())
      proxy.rule = flipInside('down', 0x5a)
      expect(await codeOf(distrustful.put('f/read-back', filled.subarray(0, MiB), never()))).toBe('E_NODE_CORRUPT')
      for (const length of [MiB, filled.length]) {
        const writer = await distrustful.create('f/read-back', never())
        await writer.write(filled.subarray(0, length))
        expect(await codeOf(writer.commit())).toBe('E_NODE_CORRUPT')
        await writer.abort()
        expect(await distrustful.head('f/read-back', never())).toBeUndefined()
      }
    })

    it('a body that breaks off is E_NODE_UNREACHABLE; one that breaks off once is read again', async () => {
      await store.put('f/cut', filled.subarray(0, 4 * MiB), never())
      let cuts = Infinity
      proxy.rule = (_chunk, direction, seen) => {
        if (direction !== 'down' || seen < MiB || cuts === 0) return undefined
        cuts--
        return 'cut'
      }
      expect(await codeOf(store.get('f/cut', { offsetBytes: 5, lengthBytes: 3 * MiB }, never()))).toBe(
        'E_NODE_UNREACHABLE',
      )
      expect(await codeOf(store.get('f/cut', undefined, never()))).toBe('E_NODE_UNREACHABLE')
      cuts = 1
      expect((await store.get('f/cut', undefined, never())).length).toBe(4 * MiB)
      expect(cuts).toBe(0)
    })

    it('a body that stops without breaking off is E_NODE_UNREACHABLE in time', async () => {
      await store.put('f/hold', filled.subarray(0, 4 * MiB), never())
      const impatient = await open({ endpoint: proxy.endpoint }, 'signed-sha256', impatientWorld)
      proxy.rule = (_chunk, direction, seen) => (direction === 'down' && seen > MiB ? 'hold' : undefined)
      const startedMs = performance.now()
      expect(await codeOf(impatient.get('f/hold', undefined, never()))).toBe('E_NODE_UNREACHABLE')
      expect(performance.now() - startedMs).toBeLessThan(SILENT_MS)
    })

    it('a signal ends a call that hangs', async () => {
      proxy.rule = () => 'hold'
      const startedMs = performance.now()
      expect(await codeOf(store.head('f/hold', AbortSignal.timeout(100)))).toBe('E_ABORTED')
      expect(performance.now() - startedMs).toBeLessThan(SILENT_MS)
    })

    it('a listing whose second page fails rejects', async () => {
      for (let i = 0; i < 9; i++) await store.put(`page/${i}`, filled.subarray(0, 1), never())
      const seen: string[] = []
      const list = async (): Promise<void> => {
        for await (const { key } of store.list('page/', never())) {
          seen.push(key)
          proxy.rule = () => 'cut'
        }
      }
      expect(await codeOf(list())).toBe('E_NODE_UNREACHABLE')
      expect(seen.length).toBe(7)
    })

    it('a lost answer to the last request of an upload is resolved by looking', async () => {
      let cut = 0
      proxy.rule = (chunk, direction) => {
        const text = chunk.toString('latin1')
        if (direction === 'down' && text.includes('<CompleteMultipartUploadResult')) {
          cut++
          return 'cut'
        }
        return undefined
      }
      const writer = await store.create('f/lost', never())
      await writer.write(filled)
      expect(await writer.commit()).toEqual({ key: 'f/lost', sizeBytes: filled.length })
      expect(cut).toBeGreaterThan(0)
      expect(Buffer.compare(await store.get('f/lost', undefined, never()), filled)).toBe(0)
    })

    it('an upload whose beginning lost its answer is begun again, and only one is left in the end', async () => {
      let cut = 0
      proxy.rule = (chunk, direction) => {
        if (direction !== 'down' || cut > 0 || !chunk.includes('<InitiateMultipartUploadResult')) return undefined
        cut++
        return 'cut'
      }
      const writer = await store.create('f/begun-twice', never())
      await writer.write(filled)
      await writer.commit()
      expect(cut).toBe(1)
      expect(await unfinishedUploads(settings)).toEqual([])
      expect(Buffer.compare(await store.get('f/begun-twice', undefined, never()), filled)).toBe(0)
    })

    it('a writer takes no more than three parts when the node takes nothing', async () => {
      let uploadBegan = false
      proxy.rule = (chunk, direction) => {
        if (direction === 'up' && chunk.includes('partNumber=')) uploadBegan = true
        return uploadBegan && direction === 'up' ? 'hold' : undefined
      }
      const controller = new AbortController()
      const writer = await store.create('f/pressed', controller.signal)
      let takenBytes = 0
      const piece = filled.subarray(0, MiB)
      const writing = (async () => {
        for (;;) {
          await writer.write(piece)
          takenBytes += piece.length
        }
      })()
      writing.catch(() => {})
      await expect.poll(() => takenBytes, { timeout: 60_000 }).toBeGreaterThanOrEqual(2 * PART)
      await sleep(500)
      expect(takenBytes).toBeLessThanOrEqual(3 * PART)
      controller.abort()
      expect(await codeOf(writing)).toBe('E_ABORTED')
      proxy.rule = undefined
      await writer.abort()
      expect(await unfinishedUploads(settings)).toEqual([])
    })
  })

  describe('deletion', () => {
    it('takes unfinished uploads of the key along, and no others', async () => {
      const writers = [await store.create('f/unfinished', never()), await store.create('f/unfinished0', never())]
      for (const writer of writers) await writer.write(filled.subarray(0, PART + 1))
      expect((await unfinishedUploads(settings)).sort()).toEqual(['f/unfinished', 'f/unfinished0'])
      await store.delete('f/unfinished', never())
      expect(await unfinishedUploads(settings)).toEqual(['f/unfinished0'])
      for (const writer of writers) await writer.abort()
      expect(await unfinishedUploads(settings)).toEqual([])
    })

    it('takes all versions and delete markers along, and no others', async () => {
      const versioned = await createBucket(getNode(), { versioning: true })
      const target = await open(versioned)
      for (let i = 0; i < 9; i++) await target.put('f/versions', filled.subarray(0, i), never())
      for (const key of ['f/versions0', 'f/versions1']) await target.put(key, filled.subarray(0, 4), never())
      const client = rawClient(versioned)
      const left = async (): Promise<string[]> => {
        const { Versions = [], DeleteMarkers = [] } = await client.send(
          new ListObjectVersionsCommand({ Bucket: versioned.bucket }),
        )
        return [...Versions, ...DeleteMarkers].map((version) => version.Key ?? '')
      }
      try {
        expect((await left()).length).toBe(11)
        await target.delete('f/versions', never())
        expect(await left()).toEqual(['f/versions0', 'f/versions1'])
        // The only version of a key of which another key is a continuation: Swift answers 404 NoSuchBucket.
        await target.put('f/versions', filled.subarray(0, 4), never())
        await target.delete('f/versions', never())
        await target.delete('f/versions', never())
        expect(await left()).toEqual(['f/versions0', 'f/versions1'])
        expect(await target.head('f/versions', never())).toBeUndefined()
        expect((await target.get('f/versions0', undefined, never())).length).toBe(4)
      } finally {
        client.destroy()
      }
    })

    it('confirms nothing when the listing fails', async () => {
      await store.put('f/unconfirmed', filled.subarray(0, 4), never())
      proxy.rule = (chunk, direction) =>
        direction === 'up' && /[?&](versions|uploads)/.test(chunk.toString('latin1', 0, 500)) ? 'cut' : undefined
      expect(await codeOf(store.delete('f/unconfirmed', never()))).toBe('E_NODE_UNREACHABLE')
    })
  })

  // Last: the node is not the same afterwards.
  describe('the server', () => {
    it('paused: E_NODE_UNREACHABLE within the time limit, and well again afterwards', async () => {
      const direct = await open({}, 'signed-sha256', impatientWorld)
      await direct.put('f/pause', filled.subarray(0, 3), never())
      await getNode().pause()
      const startedMs = performance.now()
      expect(await codeOf(direct.head('f/pause', never()))).toBe('E_NODE_UNREACHABLE')
      expect(await codeOf(direct.put('f/pause', filled.subarray(0, 3), never()))).toBe('E_NODE_UNREACHABLE')
      expect(performance.now() - startedMs).toBeLessThan(2 * SILENT_MS)
      await getNode().resume()
      expect(await direct.head('f/pause', never())).toEqual({ key: 'f/pause', sizeBytes: 3 })
    })

    it('killed: E_NODE_UNREACHABLE everywhere, and well again after a start', async () => {
      const direct = await open({})
      await direct.put('f/kill', filled.subarray(0, 3), never())
      await getNode().kill()
      expect(await callsOf(direct, 'f/kill')).toEqual(six('E_NODE_UNREACHABLE'))
      await getNode().start()
      expect((await direct.get('f/kill', undefined, never())).length).toBe(3)
    })
  })
}
