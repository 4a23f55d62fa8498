import { createHmac } from 'node:crypto'
import { once } from 'node:events'
import type { Redis } from 'ioredis'
import type { RateCounter, RateKind, RateLimit } from '../ports/rate-counter.ts'
import type { Clock, Log } from '../ports/system.ts'
import { RedisWatch, connectRedis } from './bullmq/connection.ts'
import { MemoryRateCounter } from './memory-rate-counter.ts'

/** A viewer waits for it: better counted here alone than late. */
const ANSWER_WITHIN_MS = 500

/**
 * Two windows of fixed length, the one before weighed by how much of it still slides: at most the limit in any window, give or take what
 * came unevenly. The time is Redis' own, so that all processes mean the same. Returns the wait in ms.
 */
const COUNT = `
local max, window, count = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local start = now - now % window
local kept = redis.call('HMGET', KEYS[1], 'start', 'now', 'before')
local here, before = 0, 0
if kept[1] and tonumber(kept[1]) == start then
  here, before = tonumber(kept[2]), tonumber(kept[3])
elseif kept[1] and tonumber(kept[1]) == start - window then
  before = tonumber(kept[2])
end
local sliding = before * (window - (now - start)) / window
if count > 0 and here + sliding >= max then
  if here >= max then return start + window - now + math.ceil(window * (1 - (max - 0.5) / here)) end
  return math.max(1, math.ceil((here + sliding - max + 0.5) * window / before))
end
redis.call('HSET', KEYS[1], 'start', start, 'now', here + count, 'before', before)
redis.call('PEXPIRE', KEYS[1], 2 * window)
return 0
`

interface CountingRedis extends Redis {
  mosaikCount(key: string, maxCount: number, windowMs: number, count: number): Promise<number>
}

/**
 * Counts over all processes on one Redis. It holds keyed hashes of who asked, for two windows, and nothing else; while it does not answer
 * each process counts for itself.
 */
export class RedisRateCounter implements RateCounter {
  readonly #redis: CountingRedis
  readonly #watch: RedisWatch
  readonly #alone: MemoryRateCounter
  readonly #key: Uint8Array

  /** @param options.key the same in all processes, not in Redis: addresses are few enough to be tried out. */
  constructor(options: { readonly url: string; readonly clock: Clock; readonly log: Log; readonly key: Uint8Array }) {
    this.#watch = new RedisWatch(options.url, options.log)
    this.#redis = connectRedis(options.url, this.#watch, {
      enableOfflineQueue: false,
      maxRetriesPerRequest: 0,
      commandTimeout: ANSWER_WITHIN_MS,
    }) as CountingRedis
    this.#redis.defineCommand('mosaikCount', { numberOfKeys: 1, lua: COUNT })
    this.#alone = new MemoryRateCounter(options.clock)
    this.#key = options.key
  }

  async attempt(kind: RateKind, who: string, limit: RateLimit, count = 1): Promise<number> {
    if (count === 0) return 0
    const name = createHmac('sha256', this.#key).update(`${kind} ${who}`).digest('base64url').slice(0, 22)
    try {
      return await this.#redis.mosaikCount(`mosaik:rate:${kind}:${name}`, limit.maxCount, limit.windowMs, count)
    } catch {
      return await this.#alone.attempt(kind, who, limit, count)
    }
  }

  /** Resolves when Redis answers. */
  async ready(): Promise<void> {
    if (this.#redis.status !== 'ready') await once(this.#redis, 'ready')
  }

  close(): Promise<void> {
    this.#watch.close()
    this.#redis.disconnect()
    return Promise.resolve()
  }
}
