import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Group } from '../../../src/main/groups.ts'
import { compiled } from '../../support/compiled.ts'

const root = fileURLToPath(new URL('../../../', import.meta.url))

export interface LogLine {
  readonly event: string
  readonly level: string
  readonly [field: string]: unknown
}

/** One process of the vault, started as in production: an entry of workers/ on its environment. */
export class Member {
  readonly group: Group
  readonly lines: LogLine[] = []
  readonly #child: ChildProcess
  readonly #exited: Promise<{ code: number | null; signal: string | null }>
  #text = ''
  #isOver = false

  constructor(group: Group, environment: NodeJS.ProcessEnv) {
    this.group = group
    this.#child = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', `workers/${group}.ts`], {
      cwd: root,
      env: { ...compiled, ...environment, MOSAIK_METRICS: '127.0.0.1:0' },
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    this.#exited = once(this.#child, 'close').then(([code, signal]) => {
      this.#isOver = true
      return { code: code as number | null, signal: signal as string | null }
    })
    this.#child.stdout?.on('data', (chunk: Buffer) => this.#take(chunk.toString('utf8')))
    this.#child.stderr?.on('data', (chunk: Buffer) => (this.#text += chunk.toString('utf8')))
  }

  /** All that it wrote. */
  get output(): string {
    return this.#text
  }

  /** Waits for a line of the log. @throws with all output when the process ends before, or nothing comes */
  async line(event: string, timeoutMs = 60_000): Promise<LogLine> {
    for (let waitedMs = 0; waitedMs < timeoutMs; waitedMs += 20) {
      const found = this.lines.find((line) => line.event === event)
      if (found) return found
      if (this.#isOver) break
      await sleep(20)
    }
    throw new Error(`${this.group} never said ${event}:\n${this.output}`)
  }

  kill(signal: NodeJS.Signals): void {
    this.#child.kill(signal)
  }

  async exit(): Promise<{ code: number | null; signal: string | null }> {
    return await this.#exited
  }

  /** Text of its own door. */
  async get(path: string): Promise<{ status: number; text: string }> {
    const { address } = await this.line('metrics.listening')
    const response = await fetch(`http://${String(address)}${path}`)
    return { status: response.status, text: await response.text() }
  }

  /** Sum of a metric's samples whose labels contain all of `labels`. */
  async metric(name: string, labels: Readonly<Record<string, string>> = {}): Promise<number> {
    const { text } = await this.get('/metrics')
    let sum = 0
    for (const line of text.split('\n')) {
      if (!line.startsWith(`${name}{`) && !line.startsWith(`${name} `)) continue
      if (Object.entries(labels).every(([label, value]) => line.includes(`${label}="${value}"`)))
        sum += Number(line.slice(line.lastIndexOf(' ') + 1))
    }
    return sum
  }

  #take(text: string): void {
    this.#text += text
    const all = this.#text.split('\n')
    this.lines.splice(0, this.lines.length)
    for (const line of all) {
      if (!line.startsWith('{')) continue
      try {
        this.lines.push(JSON.parse(line) as LogLine)
      } catch {
        // cut off in the middle; the rest comes
      }
    }
  }
}

/** Runs the command line; gives back what it printed with --json. @throws with its error output */
export async function mosaik<T>(environment: NodeJS.ProcessEnv, ...args: string[]): Promise<T> {
  const child = spawn(
    process.execPath,
    ['--disable-warning=ExperimentalWarning', 'src/main/cli.ts', '--json', ...args],
    {
      cwd: root,
      env: { ...compiled, ...environment },
      stdio: ['ignore', 'pipe', 'pipe'],
      // A session of its own has no terminal to ask on.
      detached: true,
    },
  )
  let output = ''
  let errors = ''
  child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString('utf8')))
  child.stderr.on('data', (chunk: Buffer) => (errors += chunk.toString('utf8')))
  const [code] = (await once(child, 'close')) as [number | null]
  if (code !== 0) throw new Error(`mosaik ${args[0] ?? ''} ended with ${String(code)}: ${errors}`)
  return JSON.parse(output) as T
}

/** Sends a whole file by tus 1.0; gives back the recording. */
export async function uploadFile(
  url: string,
  token: string,
  content: Uint8Array,
  metadata: Readonly<Record<string, string>>,
): Promise<string> {
  const headers = { authorization: `Bearer ${token}`, 'tus-resumable': '1.0.0' }
  const encoded = Object.entries(metadata).map(([name, value]) => `${name} ${Buffer.from(value).toString('base64')}`)
  const created = await fetch(`${url}/api/v1/uploads`, {
    method: 'POST',
    headers: { ...headers, 'upload-length': String(content.length), 'upload-metadata': encoded.join(',') },
  })
  const location = created.headers.get('location')
  if (created.status !== 201 || location === null) throw new Error(`${created.status} ${await created.text()}`)
  const place = new URL(location, url)
  const sent = await fetch(place, {
    method: 'PATCH',
    headers: { ...headers, 'upload-offset': '0', 'content-type': 'application/offset+octet-stream' },
    body: Buffer.from(content),
  })
  if (sent.status !== 204) throw new Error(`${sent.status} ${await sent.text()}`)
  const state = await fetch(`${url}/api/v1/uploads/${place.pathname.split('/').at(-1) ?? ''}`, { headers })
  const { recording } = (await state.json()) as { recording: string | null }
  if (recording === null) throw new Error('no recording was made of the upload')
  return recording
}
