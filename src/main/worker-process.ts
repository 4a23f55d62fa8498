import { hasFileKeyring } from '../adapters/file-keyring/file-keyring.ts'
import { nodePrimitives } from '../adapters/node-primitives.ts'
import { nodeClock, nodeRandom } from '../adapters/node-system.ts'
import { runSelfTest } from '../adapters/self-test.ts'
import { MosaikError, isMosaikError } from '../domain/errors.ts'
import type { Clock, Log } from '../ports/system.ts'
import { childEnvironment, readConfig, type Config } from './config.ts'
import type { Group } from './groups.ts'
import { openLog } from './log.ts'
import { findOpening, isInCustody } from './opening.ts'
import { errorWords } from './screen.ts'
import { waitForShares, type Unsealed } from './sealed.ts'
import { serve, type Doors } from './serve.ts'
import { openVault, type Vault } from './vault.ts'

/** Longest way from the first signal to the end; Docker kills after the 30 s of docker-compose.yml. */
export const GRACE_MS = 25_000
const EXIT = { done: 0, failed: 1, usage: 2 } as const

/**
 * A whole process of the many-machines form: settings from the environment, checks, work until SIGTERM or SIGINT, orderly end with code 0.
 * A second signal ends it at once, as does an error that nobody caught. Never returns.
 */
export async function runProcess(groups: readonly Group[]): Promise<never> {
  let log: { readonly log: Log; readonly close: () => void } | undefined
  const end = (code: number): never => {
    log?.close()
    process.exit(code)
  }
  const failed = (event: string, error: unknown): never => {
    log?.log.error(event, { groups, ...describe(error) })
    // Of what is not ours the words may quote anything: the log has the place.
    const words = isMosaikError(error) ? errorWords(error) : 'an unexpected fault; the log says where'
    process.stderr.write(`mosaik: ${words}\n`)
    return end(isMosaikError(error, 'E_CONFIG', 'E_INPUT', 'E_HSM_PIN') ? EXIT.usage : EXIT.failed)
  }
  process.on('uncaughtException', (error) => failed('process.uncaught', error))
  process.on('unhandledRejection', (error) => failed('process.unhandled', error))
  const stopped = untilStopped(() => {
    log?.log.warn('process.stopped-at-once', { groups })
    end(EXIT.failed)
  })
  try {
    const config = readConfig({})
    log = openLog(config, nodeClock, 1)
    const stop = new AbortController()
    void stopped.then((signal) => stop.abort(new MosaikError('E_ABORTED', `stopped by ${signal}`)))
    while (!stop.signal.aborted) {
      const running = await begin(config, groups, log.log, stop.signal)
      if (running === undefined) break
      log.log.info('process.ready', { groups, pid: process.pid, ...running.facts })
      const signal = await Promise.race([stopped, running.sealWanted, running.refused])
      log.log.info('process.stopping', { groups, signal })
      const tooLate = setTimeout(() => {
        log?.log.error('process.grace-over', { groups, graceMs: GRACE_MS })
        end(EXIT.failed)
      }, GRACE_MS)
      await running.close()
      clearTimeout(tooLate)
    }
    log.log.info('process.stopped', { groups })
    return end(EXIT.done)
  } catch (error) {
    return failed('process.failed', error)
  }
}

interface Running {
  /** Rejects when the process may not go on. @throws E_READ_ONLY */
  readonly refused: Promise<never>
  readonly facts: Readonly<Record<string, unknown>>
  /** Resolves, with the word for it, when officers seal the process. */
  readonly sealWanted: Promise<string>
  close(): Promise<void>
}

/** Checks and opens everything; a keyring in custody is waited for. `undefined` when the process was stopped while it waited. */
async function begin(
  config: Config,
  groups: readonly Group[],
  log: Log,
  stop: AbortSignal,
): Promise<Running | undefined> {
  requireShared(config)
  const clock = nodeClock
  const random = nodeRandom(config.entropyDevice)
  runSelfTest(nodePrimitives)
  if (!hasFileKeyring(config.data)) {
    throw new MosaikError('E_CONFIG', `there is no keyring.json in ${config.data}; run \`mosaik setup\` once, first`)
  }
  const ports = { config, clock, random, log }
  let unsealed: Unsealed | undefined
  let vault: Vault | undefined
  let doors: Doors | undefined
  try {
    if (isInCustody(config)) {
      const hasDoors = groups.includes('api')
      unsealed = await waitForShares({ ...ports, name: groups.join(' '), hasDoors }, stop)
    }
    const opening = unsealed ? { unlock: unsealed.unlock } : (await findOpening(config, random)).with
    const open = async (): Promise<Vault> => {
      const one = await openVault({ ...ports, groups, opening, childEnvironment: childEnvironment() })
      await checkStart(one, groups, log).catch(async (error: unknown) => {
        await one.close()
        throw error
      })
      return one
    }
    vault = unsealed ? await openPatiently(open, clock, log, stop) : await open()
    if (groups.includes('api')) doors = await serve({ ...ports, vault }, unsealed?.door)
  } catch (error) {
    await vault?.close()
    await unsealed?.door?.close()
    await unsealed?.close()
    if (stop.aborted && error === stop.reason) return undefined
    throw error
  }
  const opened = vault
  const nodes = checkNodes(opened, log)
  const refused = onlyPlays(groups)
    ? new Promise<never>(() => undefined)
    : opened.becameReadOnly.then(() => Promise.reject(behindNodes()))
  return {
    refused,
    facts: {
      ...(doors ? { url: doors.url, publicUrl: doors.publicUrl } : {}),
      ...(groups.includes('transcode') ? { confinement: opened.confinement } : {}),
      kernel: opened.kernelName,
    },
    sealWanted: (unsealed?.sealWanted ?? new Promise<void>(() => undefined)).then(() => 'seal'),
    async close() {
      await doors?.close()
      await opened.close()
      await unsealed?.close()
      await nodes
    },
  }
}

const TRY_AGAIN_MS = 5_000

/** What its officers opened waits for a database or Redis that is away: else they would have to come again. */
async function openPatiently(open: () => Promise<Vault>, clock: Clock, log: Log, stop: AbortSignal): Promise<Vault> {
  for (;;) {
    try {
      return await open()
    } catch (error) {
      if (!isMosaikError(error, 'E_CATALOG_UNREACHABLE', 'E_SETUP')) throw error
      log.warn('vault.not-opened-yet', describe(error))
      await clock.sleep(TRY_AGAIN_MS, stop)
    }
  }
}

/** @throws E_CONFIG: processes that share nothing are no vault */
function requireShared({ databaseUrl, redisUrl, watch }: Config): void {
  if (watch !== undefined) {
    throw new MosaikError('E_CONFIG', 'a watched folder (MOSAIK_WATCH) belongs to the embedded form; unset it here')
  }
  const missing = [
    databaseUrl === undefined ? 'MOSAIK_DATABASE_URL (PostgreSQL)' : [],
    redisUrl === undefined ? 'MOSAIK_REDIS_URL' : [],
  ].flat()
  if (missing.length > 0) throw new MosaikError('E_CONFIG', `this process needs ${missing.join(' and ')}`)
}

/** @throws E_SETUP, E_READ_ONLY; an api goes on without Redis and behind its nodes: it can still play */
async function checkStart(vault: Vault, groups: readonly Group[], log: Log): Promise<void> {
  if (groups.includes('store') || groups.includes('transcode')) {
    await vault.queue.ping().catch((error: unknown) => {
      throw new MosaikError('E_SETUP', isMosaikError(error) ? error.message : 'Redis does not answer', {}, error)
    })
  } else if (groups.includes('api')) {
    // It speaks for itself in the log.
    await vault.queue.ping().catch(() => log.warn('queue.redis-away-at-start'))
  }
  if (vault.isReadOnly && !onlyPlays(groups)) throw behindNodes()
}

const onlyPlays = (groups: readonly Group[]): boolean => groups.every((group) => group === 'api')

function behindNodes(): MosaikError {
  return new MosaikError(
    'E_READ_ONLY',
    'the catalog is older than what lies on the nodes (a restored backup?): only reading is safe; see docs/OPERATIONS.md "The catalog is lost"',
  )
}

/** Says in the log which nodes do not answer. Nothing waits for it: a node that is away is not a reason not to start. */
async function checkNodes(vault: Vault, log: Log): Promise<void> {
  try {
    const nodes = await vault.nodes.list()
    if (nodes.length === 0) log.warn('nodes.none', { advice: 'add some with `mosaik nodes add`' })
    for (const { id, name, trouble } of nodes) {
      if (trouble) log.warn('nodes.trouble', { node: id, name, code: trouble.code })
    }
  } catch (error) {
    log.warn('nodes.not-checked', describe(error))
  }
}

/** Resolves with the name of the first signal; the second one calls `again`. */
function untilStopped(again: () => void): Promise<string> {
  return new Promise((resolve) => {
    let isFirst = true
    for (const name of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) {
      process.on(name, () => {
        if (!isFirst) return again()
        isFirst = false
        resolve(name)
      })
    }
  })
}

/** What the log may say: code and fields of our own errors; of others the kind and where, as their words may quote anything. */
function describe(error: unknown): Readonly<Record<string, unknown>> {
  if (isMosaikError(error)) return { ...error.fields, code: error.code }
  if (!(error instanceof Error)) return { code: 'E_INTERNAL', cause: typeof error }
  const at = (error.stack ?? '').split('\n').filter((line) => /^\s+at /.test(line))
  return { code: 'E_INTERNAL', cause: error.name, at: at.slice(0, 8).map((line) => line.trim()) }
}
