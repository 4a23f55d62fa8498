import { Redis } from 'ioredis'
import pg from 'pg'
import { describe, expect, it } from 'vitest'
import { needs, service } from '../../support/services/service.ts'

describe('real servers for tests', () => {
  const redis = needs('redis', { instance: 'self-test' })
  const postgres = needs('postgres', { instance: 'self-test' })

  it('Redis runs, is the same for all who ask, and can be killed and started', async () => {
    const client = new Redis(redis.get().port)
    expect(await client.ping()).toBe('PONG')
    client.disconnect()
    expect((await service('redis', { instance: 'self-test' })).url).toBe(redis.get().url)
    await redis.get().kill()
    await redis.get().start()
    const again = new Redis(redis.get().port)
    expect(await again.ping()).toBe('PONG')
    again.disconnect()
  })

  it('PostgreSQL runs, makes databases, and survives a kill', async () => {
    const url = await postgres.get().createDatabase()
    const query = async (sql: string): Promise<unknown[]> => {
      const client = new pg.Client({ connectionString: url })
      await client.connect()
      try {
        return (await client.query(sql)).rows as unknown[]
      } finally {
        await client.end()
      }
    }
    await query('create table t (i int); insert into t values (7)')
    await postgres.get().kill()
    await postgres.get().start()
    expect(await query('select i from t')).toEqual([{ i: 7 }])
  })
})
