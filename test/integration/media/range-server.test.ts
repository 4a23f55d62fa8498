import { execFile } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { request } from 'node:http'
import type { IncomingHttpHeaders, IncomingMessage } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { parseRange, startRangeServer } from '../../../src/adapters/ffmpeg/range-server.ts'
import type { RangeServer } from '../../../src/adapters/ffmpeg/range-server.ts'
import type { MediaInput } from '../../../src/ports/media.ts'

const content = Uint8Array.from({ length: 300_000 }, (_, i) => (i * 7 + (i >> 8)) & 0xff)
const { signal } = new AbortController()

/** Bytes in memory; knows how many were asked for, and how many reads are going on. */
function memoryInput(chunkBytes = 1000): MediaInput & { given: number; open: number } {
  return {
    sizeBytes: content.byteLength,
    given: 0,
    open: 0,
    async *read(start, end, stop) {
      this.open++
      try {
        for (let at = start; at < end; at += chunkBytes) {
          stop.throwIfAborted()
          await Promise.resolve()
          const chunk = content.slice(at, Math.min(end, at + chunkBytes))
          this.given += chunk.byteLength
          yield chunk
        }
      } finally {
        this.open--
      }
    },
  }
}

interface Answer {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly body: Buffer
}

let folder: string
let server: RangeServer
let input: ReturnType<typeof memoryInput>
let socketPath: string

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'range-'))
  socketPath = join(folder, 'input')
  input = memoryInput()
  server = await startRangeServer(input, { socketPath }, 'secret', signal)
})
afterEach(async () => {
  await server.close()
  await rm(folder, { recursive: true, force: true })
})

function open(options: { method?: string; path?: string; range?: string }): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    const asked = request({
      socketPath,
      method: options.method ?? 'GET',
      path: options.path ?? '/secret',
      headers: options.range === undefined ? {} : { range: options.range },
    })
    asked.on('response', resolve)
    asked.on('error', reject)
    asked.end()
  })
}

async function ask(options: { method?: string; path?: string; range?: string }): Promise<Answer> {
  const response = await open(options)
  const chunks: Buffer[] = []
  for await (const chunk of response) chunks.push(chunk as Buffer)
  return { status: response.statusCode ?? 0, headers: response.headers, body: Buffer.concat(chunks) }
}

describe('answers', () => {
  test.each([
    [undefined, 200, 0, 300_000],
    ['bytes=0-', 206, 0, 300_000],
    ['bytes=5-5', 206, 5, 6],
    ['bytes=100-99999', 206, 100, 100_000],
    ['bytes=299999-', 206, 299_999, 300_000],
    ['bytes=299990-400000', 206, 299_990, 300_000],
    ['bytes=-10', 206, 299_990, 300_000],
  ])('%s', async (range, status, start, end) => {
    for (const method of ['GET', 'HEAD']) {
      const answer = await ask(range === undefined ? { method } : { method, range })
      expect(answer.status).toBe(status)
      expect(answer.headers['content-length']).toBe(String(end - start))
      expect(answer.headers['accept-ranges']).toBe('bytes')
      if (status === 206) expect(answer.headers['content-range']).toBe(`bytes ${start}-${end - 1}/300000`)
      if (method === 'GET') expect(answer.body.equals(content.subarray(start, end))).toBe(true)
    }
  })

  test.each(['bytes=300000-', 'bytes=10-5', 'bytes=-0', 'bytes=0-1,5-6', 'bytes=a-', 'lines=0-1'])(
    'no such range: %s',
    async (range) => {
      const answer = await ask({ range })
      expect(answer.status).toBe(416)
      expect(answer.headers['content-range']).toBe('bytes */300000')
    },
  )

  test('nothing but the secret path, nothing but reading', async () => {
    for (const path of ['/', '/secre', '/secret/', '/secret?x', '/../secret']) {
      expect((await ask({ path })).status, path).toBe(404)
    }
    expect((await ask({ method: 'POST' })).status).toBe(405)
    expect(input.given).toBe(0)
  })

  test('an empty file has no ranges', () => {
    expect(parseRange('bytes=0-', 0)).toBe('unsatisfiable')
    expect(parseRange(undefined, 0)).toBe('whole')
  })
})

describe('reads', () => {
  test('stop when the client leaves', async () => {
    const response = await open({})
    response.destroy()
    await expect.poll(() => input.open).toBe(0)
    expect(server.failure()).toBeUndefined()
  })

  test('do not run ahead of a client that does not take', async () => {
    await server.close()
    const endless: MediaInput & { given: number } = {
      sizeBytes: 2 ** 40,
      given: 0,
      async *read() {
        for (;;) {
          await Promise.resolve()
          this.given += 65_536
          yield new Uint8Array(65_536)
        }
      },
    }
    server = await startRangeServer(endless, { socketPath }, 'secret', signal)
    const response = await open({})
    response.pause()
    await new Promise((resolve) => setTimeout(resolve, 200))
    expect(endless.given).toBeLessThan(4 * 1024 * 1024)
    response.destroy()
  })

  test('give memory back when the client has it, and not before', async () => {
    await server.close()
    let givenBack = 0
    const reused: MediaInput = {
      ...memoryInput(100_000),
      recycle: (chunk) => {
        givenBack += chunk.byteLength
        chunk.fill(0)
      },
    }
    server = await startRangeServer(reused, { socketPath }, 'secret', signal)
    const response = await open({})
    response.pause()
    await new Promise((resolve) => setTimeout(resolve, 100))
    const chunks: Uint8Array[] = []
    for await (const chunk of response as AsyncIterable<Uint8Array>) chunks.push(chunk)
    expect(Buffer.concat(chunks).equals(content)).toBe(true)
    await expect.poll(() => givenBack).toBe(content.byteLength)
  })

  test.each([
    ['too few', 10],
    ['too many', 400_000],
  ])('%s bytes from upstream break the connection and are remembered', async (_, bytes) => {
    await server.close()
    const wrong: MediaInput = {
      sizeBytes: content.byteLength,
      async *read() {
        await Promise.resolve()
        yield new Uint8Array(bytes)
      },
    }
    server = await startRangeServer(wrong, { socketPath }, 'secret', signal)
    await expect(ask({})).rejects.toThrow()
    expect(server.failure()).toMatchObject({ code: 'E_INTERNAL' })
  })
})

test('another user of this machine cannot read over the loopback address', async (context) => {
  if (process.getuid?.() !== 0) context.skip('needs root to become another user')
  const loopback = await startRangeServer(input, 'loopback', 'secret', signal)
  try {
    const url = `http://127.0.0.1:${String(loopback.port)}${loopback.secretPath}`
    const fetchAs = (user: number): Promise<string> =>
      new Promise((resolve) => {
        const code = `require('http').get(${JSON.stringify(url)}, (r) => { console.log(r.statusCode); process.exit() })`
        execFile(
          'setpriv',
          ['--reuid', String(user), '--clear-groups', '--', '/usr/bin/env', 'node', '-e', code],
          { env: { PATH: '/usr/bin:/bin' } },
          (_, text) => {
            resolve(text.trim())
          },
        )
      })
    expect(await fetchAs(0)).toBe('200')
    expect(await fetchAs(65_534)).toBe('404')
  } finally {
    await loopback.close()
  }
})
