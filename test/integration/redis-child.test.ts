import { spawn } from 'node:child_process'
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { Redis } from 'ioredis'
import { beforeEach, describe, expect, onTestFinished, test } from 'vitest'
import { nodeClock } from '../../src/adapters/node-system.ts'
import { startRedisChild, type RedisChild } from '../../src/adapters/redis-child.ts'
import type { Log } from '../../src/ports/system.ts'
import { findProgram } from '../support/services/commands.ts'

const missing = findProgram('redis-server') === undefined

function newFolder(name = ''): string {
  const folder = mkdtempSync(join(tmpdir(), `mosaik-rc-${name}`))
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }))
  return join(folder, 'redis')
}

function memoryLog(): Log & { readonly events: string[] } {
  const events: string[] = []
  const add = (event: string): void => void events.push(event)
  return { events, info: add, warn: add, error: add }
}

async function start(folder: string, log: Log = memoryLog()): Promise<RedisChild> {
  const child = await startRedisChild({ folder, clock: nodeClock, log, startWithinMs: 10_000 })
  onTestFinished(() => child.close())
  return child
}

async function commands<T>(child: Pick<RedisChild, 'url'>, use: (client: Redis) => Promise<T>): Promise<T> {
  const client = new Redis(child.url, { retryStrategy: () => null, maxRetriesPerRequest: 0 })
  client.on('error', () => undefined)
  try {
    return await use(client)
  } finally {
    client.disconnect()
  }
}

const pidOf = (child: Pick<RedisChild, 'url'>): Promise<number> =>
  commands(child, async (client) => Number(/process_id:(\d+)/.exec(await client.info('server'))?.[1]))

function runs(pid: number): boolean {
  try {
    // A zombie has no command line.
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8') !== ''
  } catch {
    return false
  }
}

async function until(what: () => boolean | Promise<boolean>, withinMs = 8000): Promise<void> {
  for (let waited = 0; waited < withinMs; waited += 20) {
    if (await what()) return
    await wait(20)
  }
  throw new Error('it did not come to pass')
}

/** Another process that starts Redis in the folder and goes on; prints the pid of Redis. */
async function otherProcess(folder: string): Promise<{ pid: number; redis: number; kill(): Promise<void> }> {
  const code = `
    import { startRedisChild } from '${join(import.meta.dirname, '../../src/adapters/redis-child.ts')}'
    import { nodeClock } from '${join(import.meta.dirname, '../../src/adapters/node-system.ts')}'
    import { readFileSync } from 'node:fs'
    const log = { info() {}, warn() {}, error() {} }
    await startRedisChild({ folder: process.argv[1], clock: nodeClock, log })
    console.log(readFileSync(process.argv[1] + '/redis.pid', 'utf8').trim())
    setInterval(() => undefined, 1000)`
  const child = spawn(process.execPath, ['--input-type=module', '-e', code, folder], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const redis = await new Promise<number>((resolve) =>
    child.stdout.once('data', (text) => resolve(Number(String(text)))),
  )
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()))
  const kill = async (): Promise<void> => {
    child.kill('SIGKILL')
    await ended
  }
  onTestFinished(kill)
  return { pid: child.pid ?? 0, redis, kill }
}

/** The watchers of the processes that wait for the end of `parent`. */
function watchersOf(parent: number): number[] {
  return readdirSync('/proc')
    .map(Number)
    .filter((pid) => {
      try {
        if (!readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes('mosaik-redis-watch')) return false
        return new RegExp(`^PPid:\\s+${parent}$`, 'm').test(readFileSync(`/proc/${pid}/status`, 'utf8'))
      } catch {
        return false
      }
    })
}

describe('Redis as a child', () => {
  beforeEach((context) => {
    if (missing) context.skip('redis-server is not here: apt-get install redis-server')
  })

  test('answers on a socket and nowhere else, keeps everything, evicts nothing; close stops it', async () => {
    const folder = newFolder()
    const child = await start(folder)
    expect(child.own).toBe(true)
    expect(statSync(folder).mode & 0o777).toBe(0o700)
    expect(statSync(child.url).mode & 0o077).toBe(0)
    await commands(child, async (client) => {
      for (const [name, value] of [
        ['port', '0'],
        ['appendonly', 'yes'],
        ['appendfsync', 'everysec'],
        ['maxmemory-policy', 'noeviction'],
      ] as const) {
        expect(await client.config('GET', name)).toEqual([name, value])
      }
      await client.set('kept', 'yes')
    })
    const pid = await pidOf(child)
    await child.close()
    await child.close()
    expect(runs(pid)).toBe(false)
    const again = await start(folder)
    expect(await commands(again, (client) => client.get('kept'))).toBe('yes')
  })

  test('is started again when it dies, at the same address, with what it held', async () => {
    const log = memoryLog()
    const child = await start(newFolder(), log)
    await commands(child, (client) => client.set('kept', 'yes'))
    await wait(1100)
    for (let i = 0; i < 2; i++) {
      const pid = await pidOf(child)
      process.kill(pid, 'SIGKILL')
      await until(async () => {
        const now = await pidOf(child).catch(() => pid)
        return now !== pid && now > 0
      })
    }
    expect(await commands(child, (client) => client.get('kept'))).toBe('yes')
    // Who starts it hears of it a moment after it takes calls.
    await until(() => log.events.includes('redis.started-again'))
    const pid = await pidOf(child)
    await child.close()
    await wait(300)
    expect(runs(pid)).toBe(false)
  })

  test('does not outlive a parent that is killed', async () => {
    const other = await otherProcess(newFolder())
    expect(runs(other.redis)).toBe(true)
    await other.kill()
    await until(() => !runs(other.redis))
  })

  test('what a killed parent and a killed watcher left is stopped by the next start, which has its data', async () => {
    const folder = newFolder()
    const other = await otherProcess(folder)
    await commands({ url: join(folder, 'redis.sock') }, (client) => client.set('kept', 'yes'))
    const watchers = watchersOf(other.pid)
    expect(watchers).toHaveLength(1)
    for (const watcher of watchers) process.kill(watcher, 'SIGKILL')
    await other.kill()
    await wait(200)
    expect(runs(other.redis)).toBe(true)
    rmSync(join(folder, 'redis.pid'))
    const log = memoryLog()
    const child = await start(folder, log)
    expect(child.own).toBe(true)
    expect(runs(other.redis)).toBe(false)
    expect(log.events).toContain('redis.leftover-stopped')
    expect(await commands(child, (client) => client.get('kept'))).toBe('yes')
  })

  test('is shared while the process that started it lives; only that one stops it', async () => {
    const folder = newFolder()
    const other = await otherProcess(folder)
    const child = await start(folder)
    expect(child.own).toBe(false)
    expect(await pidOf(child)).toBe(other.redis)
    await child.close()
    expect(runs(other.redis)).toBe(true)
  })

  test('of several starts at once one starts it', async () => {
    const folder = newFolder()
    const children = await Promise.all([start(folder), start(folder), start(folder)])
    expect(children.filter((child) => child.own)).toHaveLength(1)
    expect(new Set(await Promise.all(children.map(pidOf))).size).toBe(1)
  })

  test('a lock that a dead process left does not hold anybody up', async () => {
    const folder = newFolder()
    mkdirSync(folder, { recursive: true })
    writeFileSync(join(folder, 'start.lock'), '2147483646')
    await (await start(folder)).close()
    writeFileSync(join(folder, 'start.lock'), String(process.pid))
    await (await start(folder)).close()
  })

  test('never stops a process that is not a Redis of its folder, whatever the file of the process id says', async () => {
    const folder = newFolder()
    mkdirSync(folder, { recursive: true })
    const stranger = spawn('sleep', ['60'], { cwd: folder })
    onTestFinished(() => void stranger.kill('SIGKILL'))
    writeFileSync(join(folder, 'redis.pid'), String(stranger.pid))
    writeFileSync(join(folder, 'owner.json'), JSON.stringify({ parent: 1, socket: join(folder, 'redis.sock') }))
    const child = await start(folder)
    expect(child.own).toBe(true)
    expect(stranger.exitCode).toBeNull()
    expect(runs(stranger.pid ?? 0)).toBe(true)
  })

  test('in a folder whose path is too long for a socket, or odd', async () => {
    const long = join(newFolder(), 'a'.repeat(60), 'b'.repeat(60))
    const first = await start(long)
    expect(Buffer.byteLength(first.url)).toBeLessThan(100)
    expect(statSync(join(first.url, '..')).mode & 0o777).toBe(0o700)
    await commands(first, (client) => client.set('kept', 'yes'))
    await first.close()
    expect(statSync(first.url, { throwIfNoEntry: false })).toBeUndefined()
    const second = await start(long)
    expect(await commands(second, (client) => client.get('kept'))).toBe('yes')
    const odd = await start(join(newFolder(), 'a "quoted" b\\c ü'))
    expect(await commands(odd, (client) => client.ping())).toBe('PONG')
  })

  test('a damaged file is put aside: the list can be made again', async () => {
    const folder = newFolder()
    const child = await start(folder)
    await commands(child, (client) => client.set('kept', 'yes'))
    await child.close()
    const files = join(folder, 'appendonlydir')
    for (const name of readdirSync(files)) writeFileSync(join(files, name), 'this is no append-only file')
    const log = memoryLog()
    const again = await start(folder, log)
    expect(await commands(again, (client) => client.get('kept'))).toBeNull()
    expect(log.events).toContain('redis.file-put-aside')
    expect(readdirSync(folder)).toContain('appendonlydir.aside')
  })

  test('without the program it says what to install; a program that ends says how', async () => {
    const options = { folder: newFolder(), clock: nodeClock, log: memoryLog() }
    await expect(startRedisChild({ ...options, programs: ['no-such-redis'] })).rejects.toMatchObject({
      code: 'E_SETUP',
      message: expect.stringContaining('apt-get install redis-server') as string,
    })
    await expect(startRedisChild({ ...options, programs: ['false'] })).rejects.toMatchObject({ code: 'E_SETUP' })
  })
})
