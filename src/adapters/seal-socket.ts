import { chmodSync, closeSync, constants, mkdirSync, openSync, readdirSync, rmSync } from 'node:fs'
import { connect, createServer, type Socket } from 'node:net'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { z } from 'zod'
import { MosaikError, errorCodes, isMosaikError, type ErrorCode } from '../domain/errors.ts'
import { toHex } from '../domain/ids.ts'
import type { Random } from '../ports/system.ts'

/** What the command line asks a process of the vault that is opened by officers' shares. */
export const sealRequest = z.discriminatedUnion('ask', [
  z.strictObject({ ask: z.literal('status') }),
  z.strictObject({ ask: z.literal('share'), words: z.string().max(2000) }),
  z.strictObject({ ask: z.literal('seal') }),
])
export type SealRequest = z.infer<typeof sealRequest>

const sealStatus = z.strictObject({
  state: z.enum(['sealed', 'open']),
  /** What the process does, for people. */
  process: z.string(),
  pid: z.number(),
  /** Fingerprint of the custody. */
  vault: z.string(),
  sharesGiven: z.number(),
  sharesNeeded: z.number(),
})
/** How a process is; how many shares it has, never which. */
export type SealStatus = z.infer<typeof sealStatus>

const sealAnswer = z.strictObject({
  status: sealStatus,
  error: z.strictObject({ code: z.string(), message: z.string() }).nullable(),
})

/** What one process answered. */
export interface SealAnswer {
  readonly status: SealStatus
  readonly error: MosaikError | undefined
}

const FOLDER = 'seal'
const REQUEST_MAX_BYTES = 4096
const ANSWER_TIMEOUT_MS = 10_000

/**
 * Opens a Unix socket of this process in the data folder, for this user only, on which `handle` is asked. Other processes of the vault on
 * this machine, containers that share the folder among them, have one each.
 *
 * @param handle gives the status after what was asked, or throws what the asker is told
 */
export async function listenForShares(
  data: string,
  {
    handle,
    status,
    random,
  }: {
    readonly handle: (request: SealRequest) => void | Promise<void>
    readonly status: () => SealStatus
    readonly random: Random
  },
): Promise<{ close(): Promise<void> }> {
  mkdirSync(join(data, FOLDER), { recursive: true, mode: 0o700 })
  await removeStale(data)
  const place = new Place(data, `${hostPart()}-${toHex(random.bytes(8))}.sock`)
  const sockets = new Set<Socket>()
  const server = createServer((socket) => {
    sockets.add(socket)
    socket.on('close', () => sockets.delete(socket))
    // Whoever went away has no answer to get.
    socket.on('error', () => socket.destroy())
    void answer(socket)
  })

  async function answer(socket: Socket): Promise<void> {
    const line = await readLine(socket)
    if (line === undefined) return void socket.destroy()
    let error: { code: string; message: string } | null = null
    try {
      await handle(sealRequest.parse(JSON.parse(line)))
    } catch (thrown) {
      error = isMosaikError(thrown)
        ? { code: thrown.code, message: thrown.message }
        : { code: 'E_INTERNAL', message: 'the process did not understand the request' }
    }
    socket.end(`${JSON.stringify({ status: status(), error })}\n`)
  }

  await new Promise<void>((resolve, reject) => {
    server.once('error', (error) =>
      reject(new MosaikError('E_CONFIG', `no socket can be made in ${join(data, FOLDER)}`, {}, error)),
    )
    server.listen(place.path, resolve)
  })
  chmodSync(place.path, 0o600)
  return {
    close: () =>
      new Promise((resolve) => {
        server.close(() => {
          place.remove()
          resolve()
        })
        for (const socket of sockets) socket.destroy()
      }),
  }
}

/** Asks every process of the vault on this machine; those that are gone, or on another machine, do not answer and are left out. */
export async function askProcesses(data: string, request: SealRequest): Promise<SealAnswer[]> {
  const answers = await Promise.all(namesIn(data).map((name) => askOne(data, name, request)))
  return answers.filter((one) => one !== undefined)
}

async function askOne(data: string, name: string, request: SealRequest): Promise<SealAnswer | undefined> {
  const place = new Place(data, name)
  try {
    const line = await new Promise<string | undefined>((resolve) => {
      const socket = connect(place.path, () => socket.write(`${JSON.stringify(request)}\n`))
      socket.setTimeout(ANSWER_TIMEOUT_MS, () => socket.destroy())
      socket.on('error', () => resolve(undefined))
      void readLine(socket).then(resolve)
    })
    if (line === undefined) return undefined
    const { status, error } = sealAnswer.parse(JSON.parse(line))
    return { status, error: error === null ? undefined : new MosaikError(codeOf(error.code), error.message) }
  } catch {
    return undefined
  } finally {
    place.release()
  }
}

function codeOf(text: string): ErrorCode {
  return text in errorCodes ? (text as ErrorCode) : 'E_INTERNAL'
}

/** One line, or nothing when the other end is gone or says too much. */
function readLine(socket: Socket): Promise<string | undefined> {
  return new Promise((resolve) => {
    let text = ''
    socket.setEncoding('utf8')
    socket.on('data', (chunk: string) => {
      text += chunk
      const end = text.indexOf('\n')
      if (end >= 0) resolve(text.slice(0, end))
      else if (text.length > REQUEST_MAX_BYTES) socket.destroy()
    })
    socket.on('close', () => resolve(undefined))
  })
}

/** Sockets that processes of this machine left when they were killed. */
async function removeStale(data: string): Promise<void> {
  for (const name of namesIn(data).filter((one) => one.startsWith(`${hostPart()}-`))) {
    if ((await askOne(data, name, { ask: 'status' })) === undefined) rmSync(join(data, FOLDER, name), { force: true })
  }
}

function namesIn(data: string): string[] {
  try {
    return readdirSync(join(data, FOLDER)).filter((name) => name.endsWith('.sock'))
  } catch {
    return []
  }
}

const hostPart = (): string =>
  hostname()
    .replace(/[^A-Za-z0-9]/g, '')
    .slice(0, 20)

/** Bytes of a socket's path that every system takes (Linux 107, macOS 103). */
const PATH_MAX_BYTES = 103

/** A socket's path that is short enough: where the folder's own is too long, through a descriptor of it (Linux). */
class Place {
  readonly path: string
  readonly #real: string
  readonly #folder: number | undefined

  constructor(data: string, name: string) {
    this.#real = join(data, FOLDER, name)
    if (Buffer.byteLength(this.#real) <= PATH_MAX_BYTES) {
      this.path = this.#real
      return
    }
    this.#folder = openSync(join(data, FOLDER), constants.O_RDONLY)
    this.path = `/proc/self/fd/${this.#folder}/${name}`
  }

  release(): void {
    if (this.#folder !== undefined) closeSync(this.#folder)
  }

  remove(): void {
    rmSync(this.#real, { force: true })
    this.release()
  }
}
