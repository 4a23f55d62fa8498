import { once } from 'node:events'
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { createServer, type AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { Redis } from 'ioredis'
import pg from 'pg'
import type { Group } from '../../src/main/groups.ts'
import { Member, mosaik } from '../integration/processes/fleet.ts'
import { compiled } from '../support/compiled.ts'
import { createBucket } from '../support/services/buckets.ts'
import type {
  Backend,
  PostgresService,
  RedisService,
  S3Node,
  ServiceKind,
  ServiceOptions,
  Services,
} from '../support/services/kinds.ts'
import { service } from '../support/services/start-service.ts'

export const PASSPHRASE = 'the passphrase that chaos must not find'
const ROLES: readonly Group[] = ['api', 'store', 'store', 'transcode', 'transcode', 'upkeep']
const RESTART_MS = 300
const INSTANCE = 'chaos'
const START_TRIES = 4

/** One process that is started again whenever it ends. */
class Slot {
  readonly group: Group
  /** What all of its processes wrote. */
  output = ''
  #member: Member | undefined
  #isStopped = false
  readonly #running: Promise<void>

  constructor(group: Group, environment: NodeJS.ProcessEnv) {
    this.group = group
    this.#running = this.#keep(environment)
  }

  kill(): void {
    this.#member?.kill('SIGKILL')
  }

  /** Stops its process for so long, unless it is killed: its leases and locks run out, and then it goes on. */
  async pause(durationMs: number): Promise<void> {
    const member = this.#member
    member?.kill('SIGSTOP')
    await sleep(durationMs)
    member?.kill('SIGCONT')
  }

  async stop(): Promise<void> {
    this.#isStopped = true
    this.kill()
    await this.#running
  }

  async #keep(environment: NodeJS.ProcessEnv): Promise<void> {
    while (!this.#isStopped) {
      const member = new Member(this.group, environment)
      this.#member = member
      await member.exit()
      this.output += member.output
      await sleep(RESTART_MS)
    }
  }
}

/** A vault of many real processes on real servers, each of which can be killed. */
export class Cluster {
  readonly folder: string
  readonly environment: NodeJS.ProcessEnv
  readonly databaseUrl: string
  readonly url: string
  readonly redis: RedisService
  readonly postgres: PostgresService
  readonly nodes: readonly S3Node[]
  /** What nodes share: of Ceph and of Swift. */
  readonly backends: readonly Backend[]
  /** Token of a host. */
  host = ''
  slots: readonly Slot[] = []

  private constructor(
    parts: Pick<
      Cluster,
      'folder' | 'environment' | 'databaseUrl' | 'url' | 'redis' | 'postgres' | 'nodes' | 'backends'
    >,
  ) {
    this.folder = parts.folder
    this.environment = parts.environment
    this.databaseUrl = parts.databaseUrl
    this.url = parts.url
    this.redis = parts.redis
    this.postgres = parts.postgres
    this.nodes = parts.nodes
    this.backends = parts.backends
  }

  /** @param prepared called when the schema is there and before any process runs */
  static async begin(prepared: (databaseUrl: string) => Promise<void>): Promise<Cluster> {
    const [postgres, redis, ceph, swift] = await Promise.all([
      server('postgres'),
      server('redis'),
      // One that is killed keeps what it has confirmed.
      server('ceph', { nodes: 3, store: 'bluestore' }),
      server('swift', { nodes: 2 }),
    ])
    const backends = [...ceph.backends, ...swift.backends]
    const nodes = [...ceph.nodes.slice(0, 3), ...swift.nodes.slice(0, 2)]
    const folder = mkdtempSync(join(tmpdir(), 'mosaik-chaos-'))
    const scratch = join(folder, 'scratch')
    mkdirSync(scratch)
    const databaseUrl = await postgres.createDatabase()
    const port = await freePort()
    const environment = {
      PATH: process.env['PATH'],
      TMPDIR: scratch,
      MOSAIK_DATA: join(folder, 'data'),
      MOSAIK_PORT: String(port),
      MOSAIK_DATABASE_URL: databaseUrl,
      MOSAIK_REDIS_URL: redis.url,
      MOSAIK_PASSPHRASE: PASSPHRASE,
      MOSAIK_THREADS: '1',
      ...compiled,
    }
    const url = `http://127.0.0.1:${port}`
    const cluster = new Cluster({ folder, environment, databaseUrl, url, redis, postgres, nodes, backends })
    await mosaik(environment, 'setup', '--name', 'Provider')
    await prepared(databaseUrl)
    const tokenOf = async (role: string): Promise<string> =>
      (await mosaik<{ token: string }>(environment, 'token', role)).token
    cluster.host = await tokenOf('host')
    const operator = await tokenOf('operator')
    cluster.slots = ROLES.map((group) => new Slot(group, environment))
    for (const [i, node] of nodes.entries()) await cluster.#add(node, i, operator)
    return cluster
  }

  kill(group: Group): number {
    const killed = this.slots.filter((slot) => slot.group === group)
    for (const slot of killed) slot.kill()
    return killed.length
  }

  killOne(index: number): Group {
    const slot = this.slots[index % this.slots.length]!
    slot.kill()
    return slot.group
  }

  killAll(): number {
    for (const slot of this.slots) slot.kill()
    return this.slots.length
  }

  /** One of the processes of a group is stopped for so long. */
  async pauseOne(group: Group, index: number, durationMs: number): Promise<void> {
    const slots = this.slots.filter((slot) => slot.group === group)
    await slots[index % slots.length]?.pause(durationMs)
  }

  /**
   * Takes locks in Redis and leases in the catalog from whoever works, and offers the work again, so that two work on it at the same
   * time. @returns for how much work; undefined when Redis or the database is away
   */
  async loseLocks(): Promise<number | undefined> {
    const database = new pg.Client({ connectionString: this.databaseUrl })
    try {
      await database.connect()
      const { rowCount } = await database.query(
        "update work set due_at_ms = 0, lease_until_ms = 0 where state = 'running'",
      )
      const offered = await this.withRedis(async (client) => {
        for (const stage of ['store', 'transcode', 'release']) {
          for (const job of await client.lrange(`mosaik:${stage}:active`, 0, -1)) {
            await client.del(`mosaik:${stage}:${job}:lock`)
            await client.lrem(`mosaik:${stage}:active`, 0, job)
            await client.rpush(`mosaik:${stage}:wait`, job)
          }
        }
        return true
      })
      return offered ? (rowCount ?? 0) : undefined
    } catch {
      return undefined
    } finally {
      await database.end().catch(() => undefined)
    }
  }

  /** Makes due what would take a quarter of an hour, or somebody's decision: deletions, or a new state. */
  async hurry(what: 'deletions' | 'state'): Promise<void> {
    const database = new pg.Client({ connectionString: this.databaseUrl })
    try {
      await database.connect()
      await database.query(
        what === 'state'
          ? "update nodes set site = site || '.' where id = (select id from nodes order by length(site), id limit 1)"
          : "update objects set changed_at_ms = changed_at_ms - 3600000 where state in ('failed', 'superseded')",
      )
    } catch {
      // The server is away: others have the turn.
    } finally {
      await database.end().catch(() => undefined)
    }
  }

  /** FLUSHALL; false when Redis is away. */
  async flush(): Promise<boolean> {
    return (await this.withRedis((client) => client.flushall())) !== undefined
  }

  async withRedis<T>(use: (client: Redis) => Promise<T>): Promise<T | undefined> {
    const client = new Redis(this.redis.url, { maxRetriesPerRequest: 1, retryStrategy: () => null, lazyConnect: true })
    client.on('error', () => undefined)
    try {
      await client.connect()
      return await use(client)
    } catch {
      return undefined
    } finally {
      client.disconnect()
    }
  }

  /** What every process has written, and what Redis and PostgreSQL have on their disks lie below these. */
  async diskFolders(): Promise<readonly string[]> {
    const redisFolder = await this.withRedis((client) => client.config('GET', 'dir'))
    const redisDir = Array.isArray(redisFolder) ? String(redisFolder[1]) : ''
    return [this.folder, redisDir, join(redisDir, '..', `postgres-${INSTANCE}`)]
  }

  async stopProcesses(): Promise<void> {
    await Promise.all(this.slots.map((slot) => slot.stop()))
  }

  remove(): void {
    rmSync(this.folder, { recursive: true, force: true })
  }

  async #add(node: S3Node, number: number, operator: string): Promise<void> {
    const settings = await createBucket(node)
    const owner = { country: 'DE', operator: `Provider ${number}`, parent: `Parent ${number}`, site: `Site ${number}` }
    for (let tries = 0; ; tries++) {
      const response = await fetch(`${this.url}/api/v1/nodes`, {
        method: 'POST',
        headers: { authorization: `Bearer ${operator}`, 'content-type': 'application/json' },
        body: JSON.stringify({ name: `store-${number}`, ...owner, settings }),
      }).catch(() => undefined)
      if (response?.status === 201) return
      if (tries > 300) throw new Error(`store-${number} was not added: ${response?.status} ${await response?.text()}`)
      await sleep(500)
    }
  }
}

/** Starts servers of our own: they are killed. What a slow machine did not start in time goes on where it was. */
async function server<K extends ServiceKind>(kind: K, options: ServiceOptions = {}): Promise<Services[K]> {
  for (let tries = 1; ; tries++) {
    try {
      return await service(kind, { ...options, instance: INSTANCE })
    } catch (error) {
      if (tries === START_TRIES) throw error
    }
  }
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  return port
}
