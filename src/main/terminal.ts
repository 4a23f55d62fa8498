import { closeSync, openSync, readSync, writeSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { ReadStream, WriteStream } from 'node:tty'
import { MosaikError } from '../domain/errors.ts'

/**
 * Asks on the terminal itself (/dev/tty), without echo; `undefined` when there is no terminal. Standard input and output may be
 * redirected: what is typed and shown here is never in a pipe or a log.
 */
export async function askHidden(question: string): Promise<string | undefined> {
  const terminal = openTerminal()
  if (!terminal) return undefined
  const { input, output, close } = terminal
  try {
    // Before the question: whoever answers at once must not be seen doing so.
    input.setRawMode(true)
    output.write(question)
    input.resume()
    return await new Promise<string | undefined>((resolve) => {
      let typed = ''
      input.on('data', (chunk: Buffer) => {
        for (const character of chunk.toString('utf8')) {
          if (character === '\r' || character === '\n') resolve(typed)
          else if (character === '\u0003' || character === '\u0004') resolve(undefined)
          else if (character === '\u007f') typed = [...typed].slice(0, -1).join('')
          else typed += character
        }
      })
    })
  } finally {
    input.setRawMode(false)
    output.write('\n')
    close()
  }
}

/**
 * Shows text on the terminal only, and waits for Enter. What was typed before it; `end` when the terminal was closed instead, and `undefined`
 * when there is none: then nothing was shown.
 */
export function showOnTerminal(text: string): { typed: string } | 'end' | undefined {
  let file: number
  try {
    file = openSync('/dev/tty', 'r+')
  } catch {
    return undefined
  }
  try {
    writeSync(file, text)
    const buffer = Buffer.alloc(1)
    let typed = ''
    while (readSync(file, buffer, 0, 1, null) === 1) {
      if (buffer[0] === 0x0a) return { typed: typed.trim() }
      typed += buffer.toString('latin1')
    }
    return 'end'
  } finally {
    closeSync(file)
  }
}

/** Pages on the terminal's second screen, which keeps no history: nothing shown on it can be scrolled back to. */
export interface Pages {
  /** Clears the screen, shows `text`, and gives the line typed after `question`. */
  page(text: string, question: string): Promise<string>
  /** A further line of the same page. */
  line(question: string): Promise<string>
  /** Text on the same page. */
  say(text: string): void
}

const SECOND_SCREEN = '\u001b[?1049h'
const FIRST_SCREEN = '\u001b[?1049l'
/** Screen, history and cursor: also for a terminal that has one screen only. */
const CLEAR = '\u001b[2J\u001b[3J\u001b[H'

/**
 * Runs `task` on pages of the terminal (/dev/tty), and clears them whatever happens. `undefined` when there is no terminal: then `task` was not run.
 *
 * @throws E_ABORTED on Ctrl-C, and when the terminal is closed.
 */
export async function onPages<Result>(task: (pages: Pages) => Promise<Result>): Promise<Result | undefined> {
  const terminal = openTerminal()
  if (!terminal) return undefined
  const { input, output, close } = terminal
  // no history: the arrow keys must not bring back what the holder before typed
  const lines = createInterface({ input, output, terminal: true, historySize: 0 })
  const typed: string[] = []
  let awaited: PromiseWithResolvers<string> | undefined
  let isOver = false
  const abort = (): void => {
    isOver = true
    awaited?.reject(aborted())
  }
  lines.on('line', (line) => {
    if (awaited) awaited.resolve(line)
    else typed.push(line)
    awaited = undefined
  })
  lines.on('SIGINT', abort)
  lines.on('close', abort)
  const pages: Pages = {
    page(text, question) {
      typed.length = 0
      output.write(`${CLEAR}\n${text}\n\n`)
      return pages.line(question)
    },
    line(question) {
      if (isOver) return Promise.reject(aborted())
      lines.setPrompt(`  ${question} `)
      lines.prompt()
      const next = typed.shift()
      if (next !== undefined) return Promise.resolve(next)
      awaited = Promise.withResolvers<string>()
      return awaited.promise
    },
    say(text) {
      output.write(`  ${text}\n`)
    },
  }
  try {
    output.write(SECOND_SCREEN)
    return await task(pages)
  } finally {
    lines.off('close', abort)
    lines.close()
    output.write(`${CLEAR}${FIRST_SCREEN}`)
    close()
  }
}

function aborted(): MosaikError {
  return new MosaikError('E_ABORTED', 'ended on the terminal before all was done')
}

function openTerminal(): { input: ReadStream; output: WriteStream; close: () => void } | undefined {
  try {
    const readable = openSync('/dev/tty', 'r')
    const writable = openSync('/dev/tty', 'w')
    const input = new ReadStream(readable)
    const output = new WriteStream(writable)
    return {
      input,
      output,
      close: () => {
        input.destroy()
        output.destroy()
      },
    }
  } catch {
    return undefined
  }
}
