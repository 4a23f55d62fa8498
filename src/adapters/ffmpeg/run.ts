import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { constants } from 'node:os'
import type { Readable } from 'node:stream'
import { MosaikError } from '../../domain/errors.ts'
import { toHex } from '../../domain/ids.ts'
import type { MediaInput } from '../../ports/media.ts'
import type { Clock, Log, Random } from '../../ports/system.ts'
import type { ToolLimits } from './arguments.ts'
import { toolFailure } from './failure.ts'
import { startRangeServer } from './range-server.ts'
import type { Command, Confinement, Programs } from './sandbox.ts'

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
  /** Most bytes of each output beyond the first; the tool has them as `pipe:3` and so on. */
  readonly furtherBytes?: readonly number[]
}

/** What a tool writes to one of its outputs. */
export type ToolOutput = AsyncGenerator<Uint8Array, void, void>

const TAIL_CHARACTERS = 8192

/**
 * Runs a tool and yields what it writes to standard output, no faster than it is taken. Ends normally only when the
 * tool ended well and all of its reads did. Whatever happens, and also when the caller stops early: when this
 * generator has ended, the process group, its socket and all reads have ended too.
 *
 * @throws what reading the input threw; the signal's reason (E_ABORTED if that is no error); E_MEDIA_*
 */
export function runTool(host: ToolHost, run: ToolRun, signal: AbortSignal): ToolOutput {
  return runTogether(host, run, signal)[0]
}

/**
 * The same of a tool with several outputs, which are to be taken side by side: one that nobody takes holds up the others. The run begins with
 * the first one and ends with it: each ends normally only when the run ended well, and leaving one early ends the run for all.
 */
export function runTogether(
  host: ToolHost,
  run: ToolRun,
  signal: AbortSignal,
): [first: ToolOutput, ...further: ToolOutput[]] {
  const started = Promise.withResolvers<RunningTool>()
  const ended = Promise.withResolvers<undefined>()
  for (const { promise } of [started, ended]) promise.catch(() => undefined)
  // Who waits for a run that never begins, because nobody takes the first output, is told too.
  const onAbort = (): void => {
    started.reject(abortReason(signal))
  }
  signal.addEventListener('abort', onAbort, { once: true })

  async function* first(): ToolOutput {
    signal.removeEventListener('abort', onAbort)
    let failure: unknown = new MosaikError('E_ABORTED', 'the run was left before its end')
    try {
      yield* startTool(host, run, signal, started.resolve)
      ended.resolve(undefined)
    } catch (error) {
      failure = error
      throw error
    } finally {
      started.reject(failure)
      ended.reject(failure)
    }
  }
  async function* further(i: number): ToolOutput {
    const tool = await started.promise
    let isTaken = false
    try {
      yield* tool.read(i)
      isTaken = true
    } catch (error) {
      // Why the pipe broke is what the run ended with.
      await ended.promise
      throw error
    } finally {
      if (!isTaken) tool.kill()
    }
    await ended.promise
  }
  return [first(), ...(run.furtherBytes ?? []).map((_, i) => further(i + 1))]
}

async function* startTool(
  host: ToolHost,
  run: ToolRun,
  signal: AbortSignal,
  onStarted: (tool: RunningTool) => void,
): ToolOutput {
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
      const tool = new RunningTool(host, run, { file, args })
      onStarted(tool)
      yield* tool.watch(() => server.failure(), signal)
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

/** A tool's process, from its start until it was waited for. */
class RunningTool {
  readonly #host: ToolHost
  readonly #run: ToolRun
  readonly #child: ChildProcess
  readonly #closed: Promise<number>
  #errorTail = ''
  #notStarted: unknown
  #overLimit: MosaikError | undefined

  constructor(host: ToolHost, run: ToolRun, { file, args }: Command) {
    this.#host = host
    this.#run = run
    const child = spawn(file, args, {
      stdio: ['ignore', 'pipe', 'pipe', ...(run.furtherBytes ?? []).map(() => 'pipe' as const)],
      env: { PATH: host.searchPath, LC_ALL: 'C' },
      cwd: '/',
      detached: true,
    })
    this.#child = child
    child.stderr!.setEncoding('latin1')
    child.stderr!.on('data', (text: string) => {
      this.#errorTail = (this.#errorTail + text).slice(-TAIL_CHARACTERS)
    })
    this.#closed = new Promise((resolve) => {
      child.once('error', (error) => {
        this.#notStarted = error
        resolve(127)
      })
      child.once('close', (code, name) => {
        resolve(code ?? 128 + (name === null ? 0 : constants.signals[name]))
      })
    })
  }

  /** Output `i` until its end, whatever the reason of that is. */
  async *read(i: number): ToolOutput {
    const mostBytes = i === 0 ? this.#run.outputBytes : this.#run.furtherBytes![i - 1]!
    let writtenBytes = 0
    for await (const chunk of this.#pipe(i) as AsyncIterable<Uint8Array>) {
      writtenBytes += chunk.byteLength
      if (writtenBytes > mostBytes) {
        this.#stop(`${this.#run.program} wrote more than ${String(mostBytes)} bytes`)
        return
      }
      yield chunk
    }
  }

  /** The first output, and the end of the process. */
  async *watch(readFailure: () => unknown, signal: AbortSignal): ToolOutput {
    const { program, wallMs } = this.#run
    const timer = new AbortController()
    this.#host.clock.sleep(wallMs, timer.signal).then(
      () => {
        this.#stop(`${program} took longer than ${describeMs(wallMs)}`)
      },
      () => undefined,
    )
    const onAbort = (): void => {
      this.kill()
    }
    signal.addEventListener('abort', onAbort, { once: true })
    try {
      try {
        yield* this.read(0)
      } catch (error) {
        throwIfAborted(signal)
        throw new MosaikError('E_MEDIA_TOOL', `the pipe from ${program} broke`, { program }, error)
      }
      const code = await this.#closed
      throwIfAborted(signal)
      if (readFailure() !== undefined) throw readFailure()
      if (this.#overLimit !== undefined) throw this.#overLimit
      if (this.#notStarted !== undefined) {
        throw new MosaikError('E_MEDIA_TOOL', `${program} could not be started`, { program }, this.#notStarted)
      }
      if (code !== 0) {
        const failure = toolFailure({ program, code, errorTail: this.#errorTail })
        this.#host.log.warn('media.tool-failed', { code: failure.code, ...failure.fields })
        throw failure
      }
    } finally {
      timer.abort()
      signal.removeEventListener('abort', onAbort)
      this.kill()
      for (const i of [0, ...(this.#run.furtherBytes ?? []).map((_, further) => further + 1)]) this.#pipe(i).destroy()
      await this.#closed
    }
  }

  /** The child leads a group of its own; a sandbox takes its inner processes along when its outer one dies. */
  kill(): void {
    const { pid, exitCode, signalCode } = this.#child
    // Once it was waited for, its number may belong to somebody else.
    if (pid === undefined || exitCode !== null || signalCode !== null) return
    try {
      process.kill(-pid, 'SIGKILL')
    } catch {
      // It has ended already.
    }
  }

  #stop(reason: string): void {
    this.#overLimit ??= new MosaikError('E_MEDIA_LIMIT', reason)
    this.kill()
  }

  #pipe(i: number): Readable {
    return this.#child.stdio[i === 0 ? 1 : i + 2] as Readable
  }
}

function throwIfAborted(signal: AbortSignal): void {
  if (signal.aborted) throw abortReason(signal)
}

function abortReason({ reason }: AbortSignal): MosaikError {
  if (reason instanceof MosaikError) return reason
  return new MosaikError('E_ABORTED', 'stopped while the media tool was running', {}, reason)
}

function describeMs(ms: number): string {
  return `${String(Math.round(ms / 1000))} s`
}
