import { execFile, spawn, type ChildProcess } from 'node:child_process'
import { closeSync, mkdirSync, openSync, unlinkSync, writeSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { randomFillSync } from 'node:crypto'
import { Skipped } from './row.ts'

const execute = promisify(execFile)
const MIB = 1024 * 1024

/** Where one-core rows run: the last one, for the first has the interrupts. */
export const ONE_CORE = String(availableParallelism() - 1)

/** True when the program is on the PATH. */
export async function has(program: string): Promise<boolean> {
  return execute('sh', ['-c', `command -v ${program}`]).then(
    () => true,
    () => false,
  )
}

export async function need(program: string, debianPackage: string): Promise<void> {
  if (!(await has(program))) throw new Skipped(`${program} is not here (Debian: ${debianPackage}; --peers installs it)`)
}

/** Runs a program to its end; gives what it printed. */
export async function run(
  program: string,
  args: readonly string[],
  environment: Record<string, string> = {},
): Promise<string> {
  const { stdout } = await execute(program, args, { env: { ...process.env, ...environment }, maxBuffer: 64 * MIB })
  return stdout
}

/** Seconds that a program takes, wall. */
export async function secondsOf(
  program: string,
  args: readonly string[],
  environment: Record<string, string> = {},
): Promise<number> {
  const began = performance.now()
  await run(program, args, environment)
  return (performance.now() - began) / 1000
}

/** Processor seconds that a program takes on one core. */
export async function cpuSecondsOnOneCore(program: string, args: readonly string[]): Promise<number> {
  const script = 'TIMEFORMAT="%U %S"; time "$@" 2>/dev/null'
  const { stderr } = await execute('bash', ['-c', script, '-', 'taskset', '-c', ONE_CORE, program, ...args])
  const [user, system] = stderr.trim().split(' ').map(Number)
  return user! + system!
}

/** A program that answers each line with a line: one number. Kept alive, so that its start is not measured. */
export class Answering {
  readonly #child: ChildProcess
  readonly #lines: AsyncIterator<string>

  constructor(program: string, args: readonly string[], environment: Record<string, string> = {}) {
    this.#child = spawn(program, args, {
      stdio: ['pipe', 'pipe', 'inherit'],
      env: { ...process.env, ...environment },
    })
    this.#child.stdin!.on('error', () => undefined)
    this.#lines = createInterface({ input: this.#child.stdout! })[Symbol.asyncIterator]()
  }

  async ask(line: string): Promise<number> {
    return Number(await this.askText(line))
  }

  async askText(line: string): Promise<string> {
    this.#child.stdin!.write(`${line}\n`)
    const { value, done } = await this.#lines.next()
    if (done === true) throw new Error(`${this.#child.spawnfile} ended at "${line}"`)
    return value
  }

  async close(): Promise<void> {
    const ended = new Promise((resolve) => this.#child.once('exit', resolve))
    this.#child.stdin!.end()
    if (this.#child.exitCode === null) await ended
  }
}

/** A script of this folder, answering. */
export function answeringScript(name: string, onOneCore: boolean, environment: Record<string, string> = {}): Answering {
  const script = fileURLToPath(new URL(name, import.meta.url))
  const args = ['--max-semi-space-size=2', '--disable-warning=ExperimentalWarning', script]
  return onOneCore
    ? new Answering('taskset', ['-c', ONE_CORE, process.execPath, ...args], environment)
    : new Answering(process.execPath, args, environment)
}

/** Compiles one of the C references. */
export async function compile(name: string, libraries: readonly string[], folder: string): Promise<string> {
  await need('gcc', 'gcc')
  const source = fileURLToPath(new URL(`c/${name}.c`, import.meta.url))
  const program = join(folder, name)
  try {
    await run('gcc', ['-O3', '-march=native', '-Wall', '-o', program, source, ...libraries.map((l) => `-l${l}`)])
  } catch (error) {
    const reason = error instanceof Error ? error.message.split('\n').slice(0, 3).join(' ') : ''
    throw new Skipped(`${name}.c does not compile (libisal-dev, libssl-dev; --peers installs them): ${reason}`)
  }
  return program
}

/** A file of random bytes. */
export function makeFile(path: string, sizeBytes: number): string {
  const piece = Buffer.allocUnsafe(8 * MIB)
  const file = openSync(path, 'w')
  for (let at = 0; at < sizeBytes; at += piece.length) {
    randomFillSync(piece)
    writeSync(file, piece, 0, Math.min(piece.length, sizeBytes - at))
  }
  closeSync(file)
  return path
}

/** Touches so much memory and gives it back: the first use of memory after a while is many times slower. */
export function warmMemory(folder: string, sizeBytes: number): void {
  mkdirSync(folder, { recursive: true })
  const path = join(folder, 'warm')
  const piece = Buffer.alloc(8 * MIB, 1)
  const file = openSync(path, 'w')
  for (let at = 0; at < sizeBytes; at += piece.length) writeSync(file, piece)
  closeSync(file)
  unlinkSync(path)
}
