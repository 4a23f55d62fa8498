import { closeSync, openSync, readSync, writeSync } from 'node:fs'
import { ReadStream, WriteStream } from 'node:tty'

/**
 * Asks on the terminal itself (/dev/tty), without echo; `undefined` when there is no terminal. Standard input and output may be
 * redirected: what is typed and shown here is never in a pipe or a log.
 */
export async function askHidden(question: string): Promise<string | undefined> {
  const terminal = openTerminal()
  if (!terminal) return undefined
  const { input, output, close } = terminal
  try {
    output.write(question)
    input.setRawMode(true)
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

/** Shows text on the terminal only, and waits for Enter. False when there is no terminal: then nothing was shown. */
export function showOnTerminal(text: string): boolean {
  let file: number
  try {
    file = openSync('/dev/tty', 'r+')
  } catch {
    return false
  }
  try {
    writeSync(file, text)
    const buffer = Buffer.alloc(1)
    while (readSync(file, buffer, 0, 1, null) === 1 && buffer[0] !== 0x0a);
    return true
  } finally {
    closeSync(file)
  }
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
