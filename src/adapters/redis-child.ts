import { execFileSync, spawn, type ChildProcess } from 'node:child_process'
import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  realpathSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { MosaikError } from '../domain/errors.ts'
import type { Clock, Log } from '../ports/system.ts'
import { isOurRedis, parentOf, readText, watch } from './redis-child/processes.ts'
import { withStartLock } from './redis-child/start-lock.ts'

export interface RedisChildOptions {
  /** Redis' own folder; made when it is missing, readable by its owner alone. */
  readonly folder: string
  readonly clock: Pick<Clock, 'nowMs' | 'sleep'>
  readonly log: Log
  /** Environment of the child. */
  readonly environment?: NodeJS.ProcessEnv | undefined
  /** Default: redis-server, or else valkey-server, from the path. */
  readonly programs?: readonly string[]
  /** Longest wait for the first answer; a long append-only file is read before it. Default 60,000. */
  readonly startWithinMs?: number
}

export interface RedisChild {
  /** Absolute path of its Unix socket, which ioredis takes as an address. Stays the same when Redis is started again. */
  readonly url: string
  /** False when another living process of ours had started it: then `close` leaves it to that one. */
  readonly own: boolean
  /** Stops it, with everything on disk. Never rejects; can be repeated. */
  close(): Promise<void>
}

/** Bytes of a socket's path that every system takes (Linux 107, macOS 103). */
const maxSocketPathBytes = 100
const stopWithinMs = 10_000
const maxPauseMs = 10_000
const keptLines = 20

const install =
  'install it (Debian and Ubuntu: apt-get install redis-server; Fedora: dnf install valkey; macOS: brew install redis), or set MOSAIK_REDIS_URL to a Redis that runs elsewhere'

/**
 * Starts Redis as a child of this process, reachable through a Unix socket in its folder and in no other way. It is started
 * again when it dies. When this process ends without `close`, killed too, a small watcher stops it.
 *
 * What an earlier process left running is found: it is stopped when its parent is dead, and shared when its parent lives.
 *
 * @throws E_SETUP when there is no Redis to start, or it does not start.
 */
export async function startRedisChild(options: RedisChildOptions): Promise<RedisChild> {
  mkdirSync(options.folder, { recursive: true, mode: 0o700 })
  chmodSync(options.folder, 0o700)
  const folder = realpathSync(options.folder)
  return await withStartLock(folder, options.clock, async () => {
    const shared = await settleLeftover(folder, options)
    if (shared !== undefined) return { url: shared, own: false, close: () => Promise.resolve() }
    const supervisor = new Supervisor(folder, options)
    await supervisor.start()
    return supervisor
  })
}

class Supervisor implements RedisChild {
  readonly url: string
  readonly own = true
  readonly #folder: string
  readonly #options: RedisChildOptions
  readonly #ending = new AbortController()
  #child: ChildProcess | undefined
  #exited: Promise<string> = Promise.resolve('')
  #supervising: Promise<void> = Promise.resolve()
  #closed: Promise<void> | undefined

  constructor(folder: string, options: RedisChildOptions) {
    this.#folder = folder
    this.#options = options
    this.url = socketPath(folder)
  }

  async start(): Promise<void> {
    const record: Owner = { parent: process.pid, socket: this.url }
    writeFileSync(join(this.#folder, 'owner.json'), JSON.stringify(record), { mode: 0o600 })
    try {
      await this.#launch()
    } catch (error) {
      if (!(await this.#launchWithoutFile())) throw error
    }
    this.#supervising = this.#supervise()
  }

  close(): Promise<void> {
    this.#closed ??= this.#close()
    return this.#closed
  }

  async #close(): Promise<void> {
    this.#ending.abort()
    await this.#stop()
    // It may have been starting again just now.
    await this.#supervising
    await this.#stop()
    if (dirname(this.url) !== this.#folder) rmSync(dirname(this.url), { recursive: true, force: true })
  }

  async #stop(): Promise<void> {
    const child = this.#child
    if (!child) return
    child.kill('SIGTERM')
    const ended = new AbortController()
    const tooLate = this.#options.clock.sleep(stopWithinMs, ended.signal).catch(() => undefined)
    await Promise.race([this.#exited, tooLate])
    ended.abort()
    child.kill('SIGKILL')
    await this.#exited
  }

  async #supervise(): Promise<void> {
    const { log, clock } = this.#options
    let failures = 0
    while (!this.#ending.signal.aborted) {
      const how = await this.#exited
      if (this.#ending.signal.aborted) return
      log.warn('redis.ended', { how, failures })
      // A moment at first, then longer and longer: it may be the disk.
      await clock.sleep(Math.min(100 * 2 ** failures, maxPauseMs), this.#ending.signal).catch(() => undefined)
      if (this.#ending.signal.aborted) return
      try {
        await this.#launch()
        failures = 0
        log.info('redis.started-again')
      } catch (error) {
        failures += 1
        if (this.#ending.signal.aborted) return
        log.error('redis.does-not-start', { cause: error instanceof Error ? error.message : 'unknown' })
      }
    }
  }

  /** Resolves when it answers. */
  async #launch(): Promise<void> {
    const { clock, log, environment, startWithinMs = 60_000 } = this.#options
    const { child, program } = await this.#spawn()
    const lines = lastLines(child)
    this.#child = child
    let ended: string | undefined
    this.#exited = new Promise((resolve) => {
      child.once('exit', (code, signal) => {
        ended = signal ?? `code ${code}`
        resolve(ended)
      })
    })
    const watcher = watch(child.pid as number, this.#folder, log, environment)
    void this.#exited.then(() => watcher.kill('SIGKILL'))
    // Nothing of it keeps this process alive: when this one ends, the watcher ends Redis.
    child.unref()
    const deadline = clock.nowMs() + startWithinMs
    for (;;) {
      if ((await ask(this.url, 'PING')).startsWith('+PONG')) return
      if (ended !== undefined) {
        throw new MosaikError(
          'E_SETUP',
          `${program} ended with ${ended} while it was starting: ${lines.at(-1) ?? ''}`,
          {
            program,
            ended,
            output: lines,
          },
        )
      }
      if (clock.nowMs() > deadline || this.#ending.signal.aborted) break
      await clock.sleep(20)
    }
    await this.#stop()
    throw new MosaikError('E_SETUP', `${program} did not answer within ${startWithinMs} ms: ${lines.at(-1) ?? ''}`, {
      program,
      output: lines,
    })
  }

  async #spawn(): Promise<{ child: ChildProcess; program: string }> {
    const { programs = ['redis-server', 'valkey-server'], environment } = this.#options
    for (const program of programs) {
      const keepTitle = titleCanStay(program, environment)
      if (keepTitle === undefined) continue
      const settings = join(this.#folder, 'redis.conf')
      writeFileSync(settings, configuration(this.#folder, this.url, keepTitle), { mode: 0o600 })
      const child = spawn(program, [settings], {
        cwd: this.#folder,
        // Out of our process group: Ctrl-C is for us, and we stop it when our work is put down.
        detached: true,
        stdio: ['ignore', 'pipe', 'pipe'],
        ...(environment ? { env: environment } : {}),
      })
      await new Promise<void>((resolve, reject) => {
        child.once('spawn', resolve)
        child.once('error', reject)
      })
      child.on('error', () => undefined)
      return { child, program }
    }
    throw new MosaikError('E_SETUP', `${programs.join(' and ')} not found: ${install}`, { programs: [...programs] })
  }

  /**
   * Redis refuses to start on a damaged append-only file. It holds a to-do list that the catalog can make again: put it
   * aside and begin with an empty one. False, and the file back in place, when that does not help.
   */
  async #launchWithoutFile(): Promise<boolean> {
    const file = join(this.#folder, 'appendonlydir')
    const aside = join(this.#folder, 'appendonlydir.aside')
    if (!existsSync(file)) return false
    rmSync(aside, { recursive: true, force: true })
    renameSync(file, aside)
    try {
      await this.#launch()
    } catch {
      rmSync(file, { recursive: true, force: true })
      renameSync(aside, file)
      return false
    }
    this.#options.log.warn('redis.file-put-aside', { file: aside })
    return true
  }
}

/** Who started the Redis of a folder; written before it is started. */
interface Owner {
  readonly parent: number
  readonly socket: string
}

/** The socket of a Redis that a living process of ours runs here; one whose parent is dead is stopped. */
async function settleLeftover(folder: string, options: RedisChildOptions): Promise<string | undefined> {
  const { clock, log, startWithinMs = 60_000 } = options
  const owner = readOwner(folder)
  if (!owner) return undefined
  // Only a Redis of ours listens in a folder that is ours alone; its file of the process id may be lost.
  const told = /^process_id:(\d+)/m.exec(await ask(owner.socket, 'INFO server'))?.[1]
  const pid = Number(told ?? readText(join(folder, 'redis.pid')))
  if (!isOurRedis(pid, folder)) return undefined
  if (parentOf(pid) === owner.parent) {
    const deadline = clock.nowMs() + startWithinMs
    while (isOurRedis(pid, folder)) {
      if ((await ask(owner.socket, 'PING')).startsWith('+PONG')) return owner.socket
      if (clock.nowMs() > deadline) {
        const message = `the Redis of process ${owner.parent} does not answer; stop that process first`
        throw new MosaikError('E_SETUP', message, { pid, parent: owner.parent })
      }
      await clock.sleep(50)
    }
    return undefined
  }
  log.info('redis.leftover-stopped', { pid })
  for (const signal of ['SIGTERM', 'SIGKILL'] as const) {
    const deadline = clock.nowMs() + stopWithinMs
    if (isOurRedis(pid, folder)) process.kill(pid, signal)
    while (isOurRedis(pid, folder) && clock.nowMs() < deadline) await clock.sleep(20)
  }
  return undefined
}

function readOwner(folder: string): Owner | undefined {
  try {
    const { parent, socket } = JSON.parse(readText(join(folder, 'owner.json'))) as Partial<Owner>
    return typeof parent === 'number' && typeof socket === 'string' ? { parent, socket } : undefined
  } catch {
    return undefined
  }
}

/**
 * The socket in the folder; where its path would be too long, in a folder for temporary things that is ours alone: the
 * one of an earlier process, or a new one.
 */
function socketPath(folder: string): string {
  const path = join(folder, 'redis.sock')
  if (Buffer.byteLength(path) <= maxSocketPathBytes) return path
  const earlier = readOwner(folder)?.socket
  if (earlier !== undefined && isOursAlone(dirname(earlier))) return earlier
  return join(mkdtempSync(join(tmpdir(), 'mosaik-redis-')), 'redis.sock')
}

function isOursAlone(folder: string): boolean {
  const found = lstatSync(folder, { throwIfNoEntry: false })
  return found?.isDirectory() === true && found.uid === process.getuid?.() && (found.mode & 0o077) === 0
}

function configuration(folder: string, socket: string, keepTitle: boolean): string {
  const quoted = (text: string): string => `"${text.replace(/["\\]/g, '\\$&')}"`
  return [
    'port 0',
    `unixsocket ${quoted(socket)}`,
    'unixsocketperm 700',
    `dir ${quoted(folder)}`,
    `pidfile ${quoted(join(folder, 'redis.pid'))}`,
    'daemonize no',
    'appendonly yes',
    'appendfsync everysec',
    'save ""',
    'maxmemory-policy noeviction',
    'loglevel warning',
    // The command line goes on naming the folder: that is how a leftover is known.
    ...(keepTitle ? ['set-proc-title no'] : []),
    '',
  ].join('\n')
}

/** Whether the program knows `set-proc-title` (6.2 and later); `undefined` when there is no such program. */
function titleCanStay(program: string, environment: NodeJS.ProcessEnv | undefined): boolean | undefined {
  try {
    const text = execFileSync(program, ['--version'], {
      encoding: 'utf8',
      ...(environment ? { env: environment } : {}),
    })
    const [, major, minor] = /v=(\d+)\.(\d+)/.exec(text) ?? []
    return Number(major) > 6 || (Number(major) === 6 && Number(minor) >= 2)
  } catch {
    return undefined
  }
}

/** What Redis answers to one command, or nothing; it may still be reading its file. */
function ask(socket: string, command: string): Promise<string> {
  return new Promise((resolve) => {
    let text = ''
    const connection = connect(socket)
    connection.setTimeout(1000, () => connection.destroy())
    connection.once('connect', () => connection.write(`${command}\r\nQUIT\r\n`))
    connection.on('data', (chunk) => (text += String(chunk)))
    connection.on('error', () => undefined)
    connection.once('close', () => resolve(text))
  })
}

/** The last lines that it wrote, for the error when it does not start. The pipes are read on, so that it never waits. */
function lastLines(child: ChildProcess): string[] {
  const lines: string[] = []
  for (const stream of [child.stdout, child.stderr]) {
    stream?.on('data', (chunk) => {
      lines.push(
        ...String(chunk)
          .split('\n')
          .filter((line) => line.trim() !== ''),
      )
      lines.splice(0, lines.length - keptLines)
    })
    ;(stream as unknown as { unref?(): void } | null)?.unref?.()
  }
  return lines
}
