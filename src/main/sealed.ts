import express from 'express'
import { keyringLock } from '../adapters/file-keyring/file-keyring.ts'
import { ShareCollector } from '../adapters/file-keyring/custody.ts'
import { withMasterKey, type Unlock } from '../adapters/file-keyring/unlock.ts'
import { nodePrimitives } from '../adapters/node-primitives.ts'
import { listenForShares, type SealRequest, type SealStatus } from '../adapters/seal-socket.ts'
import { MosaikError, isMosaikError } from '../domain/errors.ts'
import { createSealedDoors, type SealedHealth } from '../http/sealed.ts'
import type { Clock, Log, Random } from '../ports/system.ts'
import type { Config } from './config.ts'
import { openDoor, type Door } from './door.ts'
import { startMetricsServer } from './metrics-server.ts'

export interface SealPorts {
  readonly config: Config
  /** What this process does, for people. */
  readonly name: string
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
  /** Whether it has the doors of HTTP. */
  readonly hasDoors: boolean
}

/** A process that the officers have opened. Its socket stays, so that they can seal it again. */
export interface Unsealed {
  readonly unlock: Unlock
  /** Listening already, and not answered any more: whoever opens the vault takes it over. */
  readonly door: Door | undefined
  /** Resolves when somebody seals the process. */
  readonly sealWanted: Promise<void>
  /** Overwrites the master key and takes the socket away. */
  close(): Promise<void>
}

const LOOK_FOR_EXPIRED_MS = 5_000

/**
 * Waits until officers have given enough shares (`mosaik keys unseal`). Meanwhile nothing of the vault runs but its doors, which say so.
 *
 * @throws the signal's reason when it ends before; E_CONFIG the port is taken
 */
export async function waitForShares(ports: SealPorts, signal: AbortSignal): Promise<Unsealed> {
  const { config, name, clock, random, log, hasDoors } = ports
  const { custody } = keyringLock(config.data)
  if (custody === undefined) throw new MosaikError('E_INTERNAL', 'this keyring is not opened by shares')
  const collector = new ShareCollector(custody, { primitives: nodePrimitives, clock })
  const came = Promise.withResolvers<Uint8Array>()
  const sealing = Promise.withResolvers<void>()
  let masterKey: Uint8Array | undefined
  const health = (): SealedHealth => ({
    status: 'sealed',
    sharesGiven: collector.given,
    sharesNeeded: collector.threshold,
  })
  const status = (): SealStatus => ({
    state: masterKey === undefined ? 'sealed' : 'open',
    ...{ process: name, pid: process.pid, vault: collector.fingerprint },
    ...{ sharesGiven: collector.given, sharesNeeded: collector.threshold },
  })
  const handle = (request: SealRequest): void => {
    if (request.ask === 'seal') {
      collector.forget()
      if (masterKey === undefined) return
      log.warn('vault.seal-wanted')
      sealing.resolve()
    }
    if (request.ask !== 'share') return
    if (masterKey !== undefined) throw new MosaikError('E_CONFLICT', 'this process is open already')
    try {
      masterKey = collector.give(request.words)
    } catch (error) {
      if (isMosaikError(error)) log.warn('vault.share-refused', { code: error.code })
      throw error
    }
    if (masterKey === undefined) log.info('vault.share-given', { ...health() })
    else came.resolve(masterKey)
  }
  const closers: (() => Promise<void> | void)[] = []
  const closeAll = async (): Promise<void> => {
    for (const closer of closers.splice(0).toReversed()) await closer()
  }
  closers.push(() => {
    collector.forget()
    masterKey?.fill(0)
  })
  try {
    const socket = await listenForShares(config.data, { handle, status, random })
    closers.push(() => socket.close())
    const door = hasDoors ? await openDoor(config) : undefined
    if (door) {
      closers.push(() => door.close())
      door.answerWith(express().disable('x-powered-by').use(createSealedDoors(health)))
    }
    const stopMetrics = await sealedMetrics(config.metrics, health, log)
    closers.push(stopMetrics)
    const looking = setInterval(() => {
      if (collector.forgetExpired()) log.warn('vault.shares-forgotten')
    }, LOOK_FOR_EXPIRED_MS)
    closers.push(() => clearInterval(looking))
    log.warn('vault.sealed', { ...health(), vault: collector.fingerprint, ...(door && { url: door.url }) })
    const key = await orAborted(came.promise, signal)
    clearInterval(looking)
    await stopMetrics()
    log.info('vault.unsealed', { vault: collector.fingerprint })
    return {
      unlock: withMasterKey(key),
      door,
      sealWanted: sealing.promise,
      async close() {
        // The door belongs to whoever answers it now.
        key.fill(0)
        await socket.close()
      },
    }
  } catch (error) {
    await closeAll()
    throw error
  }
}

/** The operator's own door while sealed. */
async function sealedMetrics(
  address: string | undefined,
  health: () => SealedHealth,
  log: Log,
): Promise<() => Promise<void>> {
  if (address === undefined) return () => Promise.resolve()
  const text =
    '# HELP mosaik_sealed 1 while the process waits for shares of officers\n# TYPE mosaik_sealed gauge\nmosaik_sealed 1\n'
  const metrics = { contentType: 'text/plain; version=0.0.4; charset=utf-8', text: () => Promise.resolve(text) }
  const words = (): string => `sealed: ${health().sharesGiven} of ${health().sharesNeeded} shares were given`
  const server = await startMetricsServer(address, { metrics, check: () => Promise.resolve([words()]), health, log })
  log.info('metrics.listening', { address: server.address })
  return () => server.close()
}

async function orAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  signal.throwIfAborted()
  const aborted = Promise.withResolvers<never>()
  const abort = (): void => aborted.reject(signal.reason as Error)
  signal.addEventListener('abort', abort, { once: true })
  try {
    return await Promise.race([promise, aborted.promise])
  } finally {
    signal.removeEventListener('abort', abort)
  }
}
