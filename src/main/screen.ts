import { isMosaikError } from '../domain/errors.ts'

/** What a command says to people, on standard error and output; `--json` prints data instead of words. */
export class Screen {
  readonly json: boolean
  readonly #interactive: boolean
  #barLines = 0

  constructor(json: boolean) {
    this.json = json
    this.#interactive = process.stderr.isTTY && !json
  }

  /** A line for people. */
  say(line = ''): void {
    this.clearBars()
    if (!this.json) process.stdout.write(`${line}\n`)
  }

  /** The command's result: `words` for people, `data` with --json. */
  result(words: string, data: unknown): void {
    this.clearBars()
    process.stdout.write(this.json ? `${JSON.stringify(data)}\n` : `${words}\n`)
  }

  /** Why the command failed, on standard error: words for people, code and message with --json. */
  failure(error: unknown, what = ''): void {
    this.clearBars()
    const code = isMosaikError(error) ? error.code : 'E_INTERNAL'
    const message = error instanceof Error ? error.message : String(error)
    const words = `mosaik: ${what}${errorWords(error)}`
    process.stderr.write(`${this.json ? JSON.stringify({ error: { code, message } }) : words}\n`)
  }

  /** One line a bar, drawn over the bars before; on no terminal only what changed by a tenth is printed. */
  bars(bars: readonly Bar[]): void {
    if (this.json) return
    if (!this.#interactive) {
      for (const bar of bars) this.#plainBar(bar)
      return
    }
    this.clearBars()
    const lines = bars.map(
      (bar) => `  ${bar.label.padEnd(11)} ${draw(bar.fraction)} ${percent(bar.fraction)} ${bar.note}`,
    )
    process.stderr.write(lines.map((line) => `${line}\n`).join(''))
    this.#barLines = lines.length
  }

  clearBars(): void {
    if (this.#barLines > 0) process.stderr.write(`\u001b[${this.#barLines}A\u001b[0J`)
    this.#barLines = 0
  }

  /** What stands there stays: the work is done. */
  keepBars(): void {
    this.#barLines = 0
  }

  readonly #printed = new Map<string, number>()

  #plainBar({ label, fraction }: Bar): void {
    const tenth = fraction === null ? 0 : Math.floor(fraction * 10)
    if ((this.#printed.get(label) ?? -1) >= tenth) return
    this.#printed.set(label, tenth)
    process.stdout.write(`  ${label} ${percent(fraction).trim()}\n`)
  }
}

export interface Bar {
  readonly label: string
  /** 0 … 1, or null while the whole is not known. */
  readonly fraction: number | null
  readonly note: string
}

const BAR_WIDTH = 30

function draw(fraction: number | null): string {
  const filled = Math.round(BAR_WIDTH * (fraction ?? 0))
  return `[${'#'.repeat(filled)}${'.'.repeat(BAR_WIDTH - filled)}]`
}

function percent(fraction: number | null): string {
  return `${Math.floor(100 * (fraction ?? 0))}%`.padStart(4)
}

/** A table with a header; columns as wide as they must be. */
export function table(header: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = header.map((name, column) => Math.max(name.length, ...rows.map((row) => row[column]?.length ?? 0)))
  const line = (cells: readonly string[]): string =>
    cells
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join('  ')
      .trimEnd()
  return [line(header), ...rows.map(line)].join('\n')
}

/** An error as a person reads it: the words, then the code. */
export function errorWords(error: unknown): string {
  if (isMosaikError(error)) return `${error.message} (${error.code})`
  return error instanceof Error ? (error.stack ?? error.message) : String(error)
}

/** How many of something: "1 recording", "2 recordings". */
export function counted(count: number, word: string): string {
  return `${count} ${word}${count === 1 ? '' : 's'}`
}

/** Bytes with a unit, for people. */
export function bytesWords(bytes: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB']
  let value = bytes
  let unit = 0
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024
    unit++
  }
  return `${unit === 0 ? value : value.toFixed(1)} ${units[unit]}`
}

/** Time to go, for people. */
export function aboutMinutes(etaMs: number): string {
  const minutes = Math.ceil(etaMs / 60_000)
  return `about ${minutes} ${minutes === 1 ? 'minute' : 'minutes'}`
}
