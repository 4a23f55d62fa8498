import { spawn } from 'node:child_process'
import type { ChildProcess, ChildProcessByStdio } from 'node:child_process'
import { constants } from 'node:os'
import type { Readable } from 'node:stream'
import { MosaikError } from '../../domain/errors.ts'
import { toHex } from '../../domain/ids.ts'
import type { MediaInput } from '../../ports/media.ts'
import type { Clock, Log, Random } from '../../ports/system.ts'
import type { ToolLimits } from './arguments.ts'
import { toolFailure } from './failure.ts'
import { startRangeServer } from './range-server.ts'
import type { Confinement, Programs } from './sandbox.ts'

/** All that a run needs of the house. */
export interface ToolHost {
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
  readonly programs: Programs
  readonly confinement: Confinement
  readonly searchPath: string
  readonly limits: ToolLimits
}

/** One run of one tool over one input. */
export interface ToolRun {
  readonly program: 'ffmpeg' | 'ffprobe'
  /** The argument list, once the input's address is known. */
  readonly argumentList: (url: string) => readonly string[]
  readonly input: MediaInput
  readonly wallMs: number
  readonly outputBytes: number
}

type ToolProcess = ChildProcessByStdio<null, Readable, Readable>

const TAIL_CHARACTERS = 8192

/**
 * Runs a tool and yields what it writes to standard output, no faster than it is taken. Ends normally only when the
 * tool ended well and all of its reads did. Whatever happens, and also when the caller stops early: when this
 * generator has ended, the process group, its socket and all reads have ended too.
 *
 * @throws what reading the input threw; the signal's reason (E_ABORTED if that is no error); E_MEDIA_*
 */
export async function* runTool(
  host: ToolHost,
  run: ToolRun,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array, void, void> {
  throwIfAborted(signal)
  const ended = new AbortController()
  const place = await host.confinement.openPlace()
  try {
    const secret = toHex(host.random.bytes(16))
    const where = place.socketPath === undefined ? 'loopback' : { socketPath: place.socketPath }
    const server = await startRangeServer(run.input, where, secret, AbortSignal.any([signal, ended.signal]))
    // The sandbox holds the socket itself, so its file can go: even if we are killed, none is left behind.
    const removed = server.connected.then(() => place.dispose())
    removed.catch(() => undefined)
    try {
      const url = host.confinement.url(server.secretPath, server.port)
      const program = host.programs[run.program]
      const { file, args } = host.confinement.command(program, run.argumentList(url), place.socketPath)
      const child = spawn(file, args, {
        stdio: ['ignore', 'pipe', 'pipe'],
        env: { PATH: host.searchPath, LC_ALL: 'C' },
        cwd: '/',
        detached: true,
      })
      yield* watch(host, run, child, () => server.failure(), signal)
    } finally {
      ended.abort()
      await server.close()
    }
  } finally {
    await place.dispose()
  }
}

/** Collects the output of a run that is known to be short. */
export async function runForBytes(host: ToolHost, run: ToolRun, signal: AbortSignal): Promise<Buffer> {
  const chunks: Uint8Array[] = []
  for await (const chunk of runTool(host, run, signal)) chunks.push(chunk)
  return Buffer.concat(chunks)
}

async function* watch(
  host: ToolHost,
  run: ToolRun,
  child: ToolProcess,
  readFailure: () => unknown,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array, void, void> {
  const { stdout, stderr } = child
  let tail = ''
  stderr.setEncoding('latin1')
  stderr.on('data', (text: string) => {
    tail = (tail + text).slice(-TAIL_CHARACTERS)
  })

  let notStarted: unknown
  const closed = new Promise<number>((resolve) => {
    child.once('error', (error) => {
      notStarted = error
      resolve(127)
    })
    child.once('close', (code, name) => {
      resolve(code ?? 128 + (name === null ? 0 : constants.signals[name]))
    })
  })
  let overLimit: MosaikError | undefined
  const timer = new AbortController()
  host.clock.sleep(run.wallMs, timer.signal).then(
    () => {
      overLimit ??= new MosaikError('E_MEDIA_LIMIT', `${run.program} took longer than ${describeMs(run.wallMs)}`)
      killGroup(child)
    },
    () => undefined,
  )
  const onAbort = (): void => {
    killGroup(child)
  }
  signal.addEventListener('abort', onAbort, { once: true })

  try {
    let writtenBytes = 0
    try {
      for await (const chunk of stdout as AsyncIterable<Uint8Array>) {
        writtenBytes += chunk.byteLength
        if (writtenBytes > run.outputBytes) {
          overLimit ??= new MosaikError(
            'E_MEDIA_LIMIT',
            `${run.program} wrote more than ${String(run.outputBytes)} bytes`,
          )
          killGroup(child)
          break
        }
        yield chunk
      }
    } catch (error) {
      throwIfAborted(signal)
      throw new MosaikError('E_MEDIA_TOOL', `the pipe from ${run.program} broke`, { program: run.program }, error)
    }
    const code = await closed
    throwIfAborted(signal)
    if (readFailure() !== undefined) throw readFailure()
    if (overLimit !== undefined) throw overLimit
    if (notStarted !== undefined) {
      throw new MosaikError('E_MEDIA_TOOL', `${run.program} could not be started`, { program: run.program }, notStarted)
    }
    if (code !== 0) {
      const failure = toolFailure({ program: run.program, code, errorTail: tail })
      host.log.warn('media.tool-failed', { code: failure.code, ...failure.fields })
      throw failure
    }
  } finally {
    timer.abort()
    signal.removeEventListener('abort', onAbort)
    killGroup(child)
    stdout.destroy()
    await closed
  }
}

/** The child leads a group of its own; a sandbox takes its inner processes along when its outer one dies. */
function killGroup(child: ChildProcess): void {
  // Once it was waited for, its number may belong to somebody else.
  if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return
  try {
    process.kill(-child.pid, 'SIGKILL')
  } catch {
    // It has ended already.
  }
}

function throwIfAborted(signal: AbortSignal): void {
  if (!signal.aborted) return
  if (signal.reason instanceof MosaikError) throw signal.reason
  throw new MosaikError('E_ABORTED', 'stopped while the media tool was running', {}, signal.reason)
}

function describeMs(ms: number): string {
  return `${String(Math.round(ms / 1000))} s`
}
