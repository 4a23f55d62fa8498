import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, extname, join, resolve } from 'node:path'
import { describeFile } from '../../adapters/file-source.ts'
import { MosaikError } from '../../domain/errors.ts'
import type { Id } from '../../domain/ids.ts'
import type { Config } from '../config.ts'
import { makeSampleRecording } from '../sample.ts'
import { errorWords, type Screen } from '../screen.ts'
import { startVault, type RunningVault } from '../start.ts'
import { requestLink } from './links.ts'
import { waitForRecording } from './wait.ts'

export interface StartCommandOptions {
  readonly askPassphrase: boolean
  /** Deposits a sample on first use. */
  readonly sample: boolean
}

/** `mosaik start [FILE…]`: the whole vault in one process; deposits the files (or, the first time, a sample), prints their links, serves until ^C. */
export async function start(
  config: Config,
  screen: Screen,
  files: readonly string[],
  options: StartCommandOptions,
): Promise<void> {
  const paths = files.map((file) => resolve(file))
  for (const path of paths) await describeFile(path)
  screen.say(`Mosaik keeps its data in ${config.data}`)
  const ending = untilStopped()
  const stop = new AbortController()
  void ending.then((signal) => stop.abort(new MosaikError('E_ABORTED', `stopped by ${signal}`)))
  for (let turn = 0; !stop.signal.aborted; turn++) {
    await runOnce(config, screen, turn === 0 ? paths : [], { ...options, stop: stop.signal }, ending)
  }
  screen.say('  Stopped.')
}

/** Until it is stopped, or its officers seal it. */
async function runOnce(
  config: Config,
  screen: Screen,
  paths: readonly string[],
  options: StartCommandOptions & { readonly stop: AbortSignal },
  ending: Promise<string>,
): Promise<void> {
  let running: RunningVault
  try {
    running = await startVault(config, { ...options, waitSealed: options.stop }, screen)
  } catch (error) {
    if (options.stop.aborted && error === options.stop.reason) return
    throw error
  }
  try {
    screen.say(
      `  Vault at ${running.publicUrl}, ffmpeg confined by ${running.vault.confinement}, kernel ${running.vault.kernelName}`,
    )
    if (paths.length > 0) {
      for (const path of paths) await orSay(screen, () => depositAndLink(running, screen, path))
    } else if (options.sample && running.isNew) {
      await orSay(screen, () => depositSample(running, screen))
    } else {
      screen.say('  Deposit recordings with `npx mosaik deposit FILE`, list them with `npx mosaik ls`.')
    }
    screen.say('  Serving; stop with ^C. The next start finds everything again.')
    const why = await Promise.race([ending, running.sealWanted.then(() => 'sealed by its officers')])
    screen.say(`\n  ${why}: handing back running work …`)
  } finally {
    await running.close()
  }
}

/** Makes the sample outside the data folder and deposits it; the vault deletes it after the receipt. */
export async function depositSample(running: RunningVault, screen: Screen): Promise<{ recording: Id; url: string }> {
  const folder = mkdtempSync(join(tmpdir(), 'mosaik-sample-'))
  screen.say('  Making a sample meeting recording with ffmpeg (60 s, 1280x720) …')
  const { videoPath, captionsPath } = await makeSampleRecording(join(folder, 'sample-meeting.mp4'))
  const deposited = await depositAndLink(running, screen, videoPath, {
    captionsPath,
    title: 'Sample meeting',
    isOurs: true,
  })
  // Only now: a start that is cut off finds the file again and goes on.
  rmSync(folder, { recursive: true, force: true })
  return deposited
}

/** Deposits a local file, follows it to the end, prints a signed link. */
async function depositAndLink(
  running: RunningVault,
  screen: Screen,
  path: string,
  extra: { readonly captionsPath?: string; readonly title?: string; readonly isOurs?: boolean } = {},
): Promise<{ recording: Id; url: string }> {
  const original = await placeOf(path, extra.isOurs ?? false)
  const { sizeBytes, modifiedAtMs } = original
  const { recording, created } = await running.vault.intake.deposit(running.organisation, {
    info: {
      title: extra.title ?? basename(path, extname(path)),
      source: { kind: 'cli', externalId: `${path}:${sizeBytes}:${modifiedAtMs}` },
      host: { id: 'local', name: null, email: null },
      participants: [],
      startedAtMs: modifiedAtMs,
    },
    original,
    captions: extra.captionsPath === undefined ? [] : [await placeOf(extra.captionsPath, extra.isOurs ?? false)],
  })
  screen.say(`  ${created ? 'Deposited' : 'Already deposited:'} ${basename(path)} as ${recording}`)
  await waitForRecording(running.client, screen, recording)
  const link = await requestLink(running.client, recording, { download: false })
  screen.say(`\n  Watch it: ${link.url}\n  (valid until ${link.expiresAt}; \`npx mosaik revoke ${link.id}\` ends it)\n`)
  return { recording, url: link.url }
}

async function placeOf(path: string, deleteAfterReceipt: boolean) {
  return { kind: 'file', path, ...(await describeFile(path)), deleteAfterReceipt } as const
}

function untilStopped(): Promise<string> {
  return new Promise((resolvePromise) => {
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, () => resolvePromise(signal))
  })
}

/** A recording that cannot be played is no reason to stop serving the others. */
async function orSay(screen: Screen, task: () => Promise<unknown>): Promise<void> {
  try {
    await task()
  } catch (error) {
    screen.clearBars()
    screen.say(`  ${errorWords(error)}`)
  }
}
