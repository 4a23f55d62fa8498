import { spawn, spawnSync, type ChildProcess } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { compiled } from './compiled.ts'

const cli = new URL('../../src/main/cli.ts', import.meta.url).pathname
const CLEAR = '\u001b[2J\u001b[3J\u001b[H'

/** util-linux has one form of `script`, BSD another: only the first can run a command of its own here. */
export const hasScript = /util-linux/.test(spawnSync('script', ['--version'], { encoding: 'utf8' }).stdout ?? '')
export const noPseudoTerminal = 'no `script` of util-linux, which makes the pseudo terminal'

/** `mosaik` on a pseudo terminal, its standard output and error in a file: what the file has was not on the terminal alone. */
export class Terminal {
  readonly #child: ChildProcess
  readonly #file: string
  readonly #ended: Promise<number | null>
  #shown = ''
  #seen = 0

  /** @param passphrase what the environment says of the keyring, if anything. */
  constructor(cwd: string, passphrase: string | undefined, ...args: string[]) {
    this.#file = join(cwd, 'out')
    const command = [process.execPath, '--disable-warning=ExperimentalWarning', cli, ...args].map((word) => `'${word}'`)
    this.#child = spawn('script', ['-qec', `${command.join(' ')} >out 2>&1`, '/dev/null'], {
      cwd,
      env: {
        ...compiled,
        PATH: process.env['PATH'],
        TERM: 'xterm',
        SHELL: '/bin/sh',
        ...(passphrase && { MOSAIK_PASSPHRASE: passphrase }),
      },
      stdio: ['pipe', 'pipe', 'inherit'],
    })
    this.#child.stdout!.on('data', (chunk: Buffer) => (this.#shown += chunk.toString()))
    this.#ended = new Promise((resolve) => this.#child.on('exit', resolve))
  }

  /** Waits for text that was not waited for before, and gives the page it is on as it can be seen. */
  async sees(text: string): Promise<string> {
    for (;;) {
      const at = this.#shown.indexOf(text, this.#seen)
      if (at >= 0) {
        this.#seen = at + text.length
        const page = this.#shown.slice(this.#shown.lastIndexOf(CLEAR, at), this.#seen)
        return page.replace(/\u001b\[[?\d;]*[A-Za-z]/g, '')
      }
      if (this.#child.exitCode !== null) throw new Error(`ended before: ${text}\n${this.#shown}\n${this.output()}`)
      await sleep(20)
    }
  }

  type(text: string): void {
    this.#child.stdin!.write(text)
  }

  enter(text = ''): void {
    this.type(`${text}\r`)
  }

  /** Exit code, and whether what is left on the screen after the end is nothing. */
  async ended(): Promise<{ code: number | null; isCleared: boolean }> {
    const code = await this.#ended
    return { code, isCleared: this.#shown.endsWith(`${CLEAR}\u001b[?1049l`) }
  }

  /** All that was on the terminal. */
  shown(): string {
    return this.#shown
  }

  /** What standard output and error got, which are not the terminal. */
  output(): string {
    return existsSync(this.#file) ? readFileSync(this.#file, 'utf8') : ''
  }

  end(): void {
    if (this.#child.exitCode === null) this.#child.kill()
  }
}

/** The numbered words of a page. */
export function wordsOn(page: string): string {
  return [...page.matchAll(/\d+\. ([a-z]+)/g)].map(([, word]) => word!).join(' ')
}
