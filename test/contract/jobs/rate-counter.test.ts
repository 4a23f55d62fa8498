import { randomBytes } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { Redis } from 'ioredis'
import { afterEach, describe, expect, it } from 'vitest'
import { nodeClock } from '../../../src/adapters/node-system.ts'
import { RedisRateCounter } from '../../../src/adapters/redis-rate-counter.ts'
import type { Log } from '../../../src/ports/system.ts'
import { needs } from '../../support/services/service.ts'

const quiet: Log = { info: () => undefined, warn: () => undefined, error: () => undefined }

describe('a rate that several processes count on one Redis', () => {
  const redis = needs('redis')
  const key = new Uint8Array(randomBytes(32))
  const opened: RedisRateCounter[] = []
  const counter = (url = redis.get().url): RedisRateCounter => {
    const made = new RedisRateCounter({ url, clock: nodeClock, log: quiet, key })
    opened.push(made)
    return made
  }
  /** Redis answers from its first connection on. */
  const connected = async (url?: string): Promise<RedisRateCounter> => {
    const made = counter(url)
    await made.ready()
    return made
  }
  afterEach(async () => {
    for (const one of opened.splice(0)) await one.close()
  })

  it('is one for all of them, each caller and each kind for itself', async () => {
    const [one, other] = [await connected(), await connected()]
    const limit = { maxCount: 10, windowMs: 3_600_000 }
    const [who, stranger] = [randomBytes(8).toString('hex'), randomBytes(8).toString('hex')]
    const waits = await Promise.all(
      Array.from({ length: 30 }, (_, i) => (i % 2 === 0 ? one : other).attempt('exchange', who, limit)),
    )
    expect(waits.filter((waitMs) => waitMs === 0)).toHaveLength(10)
    for (const waitMs of waits) expect(waitMs).toBeLessThanOrEqual(2 * limit.windowMs)
    expect(await other.attempt('exchange', stranger, limit)).toBe(0)
    expect(await other.attempt('api', who, limit)).toBe(0)
    expect(await one.attempt('segments', who, limit, 0)).toBe(0)
    expect(await one.attempt('segments', who, limit, 50)).toBe(0)
    expect(await other.attempt('segments', who, limit, 1)).toBeGreaterThan(0)
    expect(await other.attempt('segments', who, limit, 0)).toBe(0)
  })

  it('lets through who waits as told', async () => {
    const one = await connected()
    const limit = { maxCount: 3, windowMs: 400 }
    const who = randomBytes(8).toString('hex')
    for (let i = 0; i < 8; i++) {
      let waitMs = await one.attempt('exchange', who, limit)
      for (let tries = 0; waitMs > 0 && tries < 5; tries++) {
        expect(waitMs).toBeLessThanOrEqual(2 * limit.windowMs)
        await sleep(waitMs + 1)
        waitMs = await one.attempt('exchange', who, limit)
      }
      expect(waitMs).toBe(0)
    }
  })

  it('keeps no address, and nothing for longer than two windows', async () => {
    const one = await connected()
    const bare = new Redis(redis.get().url)
    await one.attempt('exchange', '192.0.2.77', { maxCount: 10, windowMs: 60_000 })
    const keys = await bare.keys('mosaik:rate:*')
    expect(keys.length).toBeGreaterThan(0)
    for (const name of keys) {
      expect(name).not.toContain('192.0.2.77')
      expect(await bare.pttl(name)).toBeGreaterThan(0)
      expect(JSON.stringify(await bare.hgetall(name))).not.toContain('192.0.2')
    }
    bare.disconnect()
  })

  it('goes on in each process alone while Redis is away', async () => {
    const alone = counter('redis://127.0.0.1:1')
    const limit = { maxCount: 2, windowMs: 60_000 }
    expect(await alone.attempt('exchange', 'x', limit)).toBe(0)
    expect(await alone.attempt('exchange', 'x', limit)).toBe(0)
    expect(await alone.attempt('exchange', 'x', limit)).toBeGreaterThan(0)
  })
})
