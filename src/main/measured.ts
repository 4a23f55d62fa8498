import { isMosaikError } from '../domain/errors.ts'
import type { Catalog } from '../ports/catalog.ts'
import type { WorkStage } from '../ports/catalog/recordings.ts'
import type { CallOutcome, Metrics, NodeCall } from '../ports/metrics.ts'
import type { NodeDriver } from '../ports/node-driver.ts'
import type { ObjectStore, ObjectWriter } from '../ports/object-store.ts'
import type { OpenedSegment, SegmentEngine } from '../ports/segment-engine.ts'
import type { Clock } from '../ports/system.ts'
import type { VaultReader } from '../ports/vault-reader.ts'
import type { QueueSpec } from './runner.ts'

// Wrappers around ports that count what passes and change nothing: rooms know nothing of metrics.

type Timer = Pick<Clock, 'monotonicMs'>

function outcomeOf(error: unknown, signal?: AbortSignal): CallOutcome {
  if (signal?.aborted === true) return 'aborted'
  return isMosaikError(error) ? error.code : 'E_INTERNAL'
}

export function measuredCatalog(catalog: Catalog, metrics: Metrics, clock: Timer): Catalog {
  const timed = async (part: string, call: () => Promise<unknown>): Promise<unknown> => {
    const startedAtMs = clock.monotonicMs()
    try {
      const answer = await call()
      metrics.catalogCalled(part, 'ok', clock.monotonicMs() - startedAtMs)
      return answer
    } catch (error) {
      metrics.catalogCalled(part, outcomeOf(error), clock.monotonicMs() - startedAtMs)
      throw error
    }
  }
  const measured = <Part extends object>(name: string, part: Part): Part =>
    new Proxy(part, {
      get(target, property) {
        const method: unknown = Reflect.get(target, property)
        if (typeof method !== 'function') return method
        return (...args: unknown[]) => timed(name, () => Reflect.apply(method, target, args) as Promise<unknown>)
      },
    })
  return {
    installation: measured('installation', catalog.installation),
    recordings: measured('recordings', catalog.recordings),
    work: measured('work', catalog.work),
    layout: measured('layout', catalog.layout),
    links: measured('links', catalog.links),
    tokens: measured('tokens', catalog.tokens),
    uploads: measured('uploads', catalog.uploads),
    audit: measured('audit', catalog.audit),
    upkeep: measured('upkeep', catalog.upkeep),
    migrate: () => catalog.migrate(),
    ping: () => catalog.ping(),
    close: () => catalog.close(),
  }
}

export function measuredDriver(driver: NodeDriver, metrics: Metrics, clock: Timer): NodeDriver {
  return {
    probe: (settings, signal) => driver.probe(settings, signal),
    open: async (settings, capabilities, options) =>
      measuredStore(
        await driver.open(settings, capabilities, options),
        options?.label ?? settings.driver,
        metrics,
        clock,
      ),
  }
}

function measuredStore(store: ObjectStore, node: string, metrics: Metrics, clock: Timer): ObjectStore {
  const timed = async <T>(call: NodeCall, signal: AbortSignal, task: () => Promise<T>): Promise<T> => {
    const startedAtMs = clock.monotonicMs()
    try {
      const answer = await task()
      metrics.nodeCalled(node, call, 'ok', clock.monotonicMs() - startedAtMs)
      return answer
    } catch (error) {
      metrics.nodeCalled(node, call, outcomeOf(error, signal), clock.monotonicMs() - startedAtMs)
      throw error
    }
  }
  return {
    async create(key, signal) {
      const startedAtMs = clock.monotonicMs()
      const ended = (outcome: CallOutcome): void =>
        metrics.nodeCalled(node, 'write', outcome, clock.monotonicMs() - startedAtMs)
      try {
        return measuredWriter(await store.create(key, signal), signal, ended, (count) =>
          metrics.nodeBytes(node, 'written', count),
        )
      } catch (error) {
        ended(outcomeOf(error, signal))
        throw error
      }
    },
    async put(key, bytes, signal) {
      await timed('put', signal, () => store.put(key, bytes, signal))
      metrics.nodeBytes(node, 'written', bytes.length)
    },
    async get(key, range, signal) {
      const bytes = await timed('get', signal, () => store.get(key, range, signal))
      metrics.nodeBytes(node, 'read', bytes.length)
      return bytes
    },
    head: (key, signal) => timed('head', signal, () => store.head(key, signal)),
    async *list(prefix, signal) {
      const startedAtMs = clock.monotonicMs()
      try {
        yield* store.list(prefix, signal)
        metrics.nodeCalled(node, 'list', 'ok', clock.monotonicMs() - startedAtMs)
      } catch (error) {
        metrics.nodeCalled(node, 'list', outcomeOf(error, signal), clock.monotonicMs() - startedAtMs)
        throw error
      }
    },
    delete: (key, signal) => timed('delete', signal, () => store.delete(key, signal)),
    close: () => store.close(),
  }
}

/** One call from create to its end: the first failure, the commit or the abort counts, whichever comes first. */
function measuredWriter(
  writer: ObjectWriter,
  signal: AbortSignal,
  ended: (outcome: CallOutcome) => void,
  written: (count: number) => void,
): ObjectWriter {
  let isEnded = false
  const end = (outcome: CallOutcome): void => {
    if (!isEnded) ended(outcome)
    isEnded = true
  }
  return {
    async write(chunk) {
      try {
        await writer.write(chunk)
        written(chunk.length)
      } catch (error) {
        end(outcomeOf(error, signal))
        throw error
      }
    },
    async commit() {
      try {
        const info = await writer.commit()
        end('ok')
        return info
      } catch (error) {
        end(outcomeOf(error, signal))
        throw error
      }
    },
    async abort() {
      await writer.abort()
      end('aborted')
    },
  }
}

export function measuredEngine(engine: SegmentEngine, metrics: Metrics): SegmentEngine {
  return {
    parallelism: engine.parallelism,
    splitter(cipher, sharing) {
      const splitter = engine.splitter(cipher, sharing)
      return {
        async split(segment, plaintext, last) {
          // Its memory is gone afterwards.
          const { length } = plaintext
          const blocks = await splitter.split(segment, plaintext, last)
          metrics.sealedBytes(length)
          return blocks
        },
        close: () => splitter.close(),
      }
    },
    opener(cipher, sharing) {
      const opener = engine.opener(cipher, sharing)
      const counted = (opened: OpenedSegment): OpenedSegment => {
        if ('plaintext' in opened) {
          metrics.openedBytes(opened.plaintext.length)
          if (opened.corruptIndices) metrics.badBlocks('tag', opened.corruptIndices.length)
          if (opened.forgedIndices) metrics.badBlocks('forged', opened.forgedIndices.length)
        } else {
          metrics.badBlocks('tag', opened.badIndices.length)
        }
        return opened
      }
      return {
        open: async (segment, last, sealedBytes, blocks) =>
          counted(await opener.open(segment, last, sealedBytes, blocks)),
        openRun: async (run) => (await opener.openRun(run)).map(counted),
        close: () => opener.close(),
      }
    },
    takeMemory: (sizeBytes) => engine.takeMemory(sizeBytes),
    recycle: (views) => engine.recycle(views),
    close: () => engine.close(),
  }
}

export function measuredReader(reader: VaultReader, metrics: Metrics): VaultReader {
  return {
    async open(organisation, recording, purpose, signal) {
      const opened = await reader.open(organisation, recording, purpose, signal)
      return {
        manifest: opened.manifest,
        asset(id) {
          const asset = opened.asset(id)
          return {
            asset: asset.asset,
            recycle: (chunk) => asset.recycle(chunk),
            async *read(startBytes, endBytes, stop) {
              const closed = metrics.streamOpened(purpose)
              try {
                for await (const chunk of asset.read(startBytes, endBytes, stop)) {
                  metrics.streamedBytes(purpose, chunk.length)
                  yield chunk
                }
              } finally {
                closed()
              }
            },
          }
        },
      }
    },
  }
}

type QueueTable = Readonly<Record<WorkStage, QueueSpec>>

export function measuredTable(table: QueueTable, metrics: Metrics, clock: Timer): QueueTable {
  const measured = (spec: QueueSpec): QueueSpec => ({
    ...spec,
    async handler(context) {
      const startedAtMs = clock.monotonicMs()
      const { stage } = spec
      try {
        const outcome = await spec.handler(context)
        metrics.workEnded(stage, 'done', clock.monotonicMs() - startedAtMs)
        return outcome
      } catch (error) {
        const { aborted, reason } = context.signal
        const stopped = isMosaikError(reason, 'E_LEASE_LOST') ? 'lease-lost' : 'handed-back'
        metrics.workEnded(stage, aborted ? stopped : 'error', clock.monotonicMs() - startedAtMs)
        throw error
      }
    },
    async waiting(work, reason, fence) {
      metrics.workDeferred(spec.stage, reason.code)
      await spec.waiting(work, reason, fence)
    },
    async failed(work, reason, fence) {
      metrics.workFailed(spec.stage, reason.code)
      await spec.failed(work, reason, fence)
    },
  })
  return { store: measured(table.store), transcode: measured(table.transcode), release: measured(table.release) }
}
