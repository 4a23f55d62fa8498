import { Counter, Gauge, Histogram, Registry, collectDefaultMetrics } from 'prom-client'
import type { Backlog } from '../ports/catalog/recordings.ts'
import type { Metrics } from '../ports/metrics.ts'

/** Metrics for Prometheus, of this process alone. */
export interface PrometheusMetrics {
  readonly metrics: Metrics
  /** Asked at every scrape; what it rejects with is left to the log of whoever gives it. */
  watchBacklog(read: () => Promise<readonly Backlog[]>, nowMs: () => number): void
  readonly contentType: string
  /** The page for Prometheus. */
  text(): Promise<string>
}

const WORK_SECONDS = [1, 3, 10, 30, 100, 300, 1000, 3000, 10_000]
const NODE_SECONDS = [0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100]
const CATALOG_SECONDS = [0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10]

export function createPrometheusMetrics(): PrometheusMetrics {
  const registry = new Registry()
  collectDefaultMetrics({ register: registry })
  const registers = [registry]
  const counter = <L extends string>(name: string, help: string, labelNames: readonly L[]): Counter<L> =>
    new Counter({ name: `mosaik_${name}`, help, labelNames, registers })
  const seconds = <L extends string>(
    name: string,
    help: string,
    labelNames: readonly L[],
    buckets: number[],
  ): Histogram<L> => new Histogram({ name: `mosaik_${name}`, help, labelNames, buckets, registers })
  const gauge = <L extends string>(name: string, help: string, labelNames: readonly L[]): Gauge<L> =>
    new Gauge({ name: `mosaik_${name}`, help, labelNames, registers })

  const work = seconds('work_seconds', 'Runs of work by how they ended', ['stage', 'outcome'], WORK_SECONDS)
  const deferred = counter('work_deferred_total', 'Runs of work that are tried again, by reason', ['stage', 'code'])
  const failed = counter('work_failed_total', 'Work that failed for good, by reason', ['stage', 'code'])
  const sealed = counter('sealed_bytes_total', 'Plaintext sealed and split', [])
  const opened = counter('opened_bytes_total', 'Plaintext combined and opened', [])
  const bad = counter('bad_blocks_total', 'Blocks from nodes that were not what they should be', ['kind'])
  const calls = seconds('node_call_seconds', 'Calls to nodes', ['node', 'call', 'outcome'], NODE_SECONDS)
  const bytes = counter('node_bytes_total', 'Bytes to and from nodes', ['node', 'direction'])
  const hedges = counter('hedges_total', 'Spares asked because this node was late', ['node'])
  const streams = gauge('open_streams', 'Reads of content under way', ['purpose'])
  const streamed = counter('streamed_bytes_total', 'Content handed out', ['purpose'])
  const unwraps = counter('unwraps_total', 'Document keys unwrapped', ['purpose'])
  const catalog = seconds('catalog_call_seconds', 'Calls to the catalog', ['part', 'outcome'], CATALOG_SECONDS)

  return {
    metrics: {
      workEnded: (stage, outcome, elapsedMs) => work.observe({ stage, outcome }, elapsedMs / 1000),
      workDeferred: (stage, code) => deferred.inc({ stage, code }),
      workFailed: (stage, code) => failed.inc({ stage, code }),
      sealedBytes: (count) => sealed.inc(count),
      openedBytes: (count) => opened.inc(count),
      badBlocks: (kind, count) => bad.inc({ kind }, count),
      nodeCalled: (node, call, outcome, elapsedMs) => calls.observe({ node, call, outcome }, elapsedMs / 1000),
      nodeBytes: (node, direction, count) => bytes.inc({ node, direction }, count),
      hedged: (node) => hedges.inc({ node }),
      streamOpened(purpose) {
        streams.inc({ purpose })
        let isOpen = true
        return () => {
          if (isOpen) streams.dec({ purpose })
          isOpen = false
        }
      },
      streamedBytes: (purpose, count) => streamed.inc({ purpose }, count),
      unwrapped: (purpose) => unwraps.inc({ purpose }),
      catalogCalled: (part, outcome, elapsedMs) => catalog.observe({ part, outcome }, elapsedMs / 1000),
    },
    watchBacklog(read, nowMs) {
      const late = gauge('work_late_seconds', 'How long the oldest work has been due', ['stage'])
      const depth = new Gauge({
        name: 'mosaik_work_open',
        help: 'Work that is not finished, from the catalog: waiting for a worker, for its time, or running',
        labelNames: ['stage', 'state'],
        registers,
        async collect() {
          depth.reset()
          late.reset()
          for (const { stage, state, count, oldestDueAtMs } of await read()) {
            depth.set({ stage, state }, count)
            if (state === 'due') late.set({ stage }, Math.max(0, nowMs() - oldestDueAtMs) / 1000)
          }
        },
      })
    },
    contentType: registry.contentType,
    text: () => registry.metrics(),
  }
}
