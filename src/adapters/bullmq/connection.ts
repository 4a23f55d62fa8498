import { Redis, type RedisOptions } from 'ioredis'
import { MosaikError } from '../../domain/errors.ts'
import type { Log } from '../../ports/system.ts'

/** Longest pause between two tries to reach Redis again, in milliseconds. */
const maxReconnectMs = 2000

/**
 * The address as it may stand in a log: no user, no password.
 *
 * @param address redis://… or rediss://…, user and password in it if need be; or the absolute path of a Unix socket.
 * @throws E_CONFIG when it is neither.
 */
export function addressName(address: string): string {
  if (address.startsWith('/')) return address
  const url = URL.parse(address)
  if (url?.protocol === 'redis:' || url?.protocol === 'rediss:') return `${url.protocol}//${url.host}${url.pathname}`
  throw new MosaikError('E_CONFIG', 'the address of Redis is not a URL: write redis://host:6379')
}

/**
 * Tells the log once when Redis goes away and once when it is back, however many connections notice; and once when it
 * would throw jobs away to make room.
 */
export class RedisWatch {
  readonly #name: string
  readonly #log: Log
  #away = false
  #policyTold = false
  #closed = false

  constructor(address: string, log: Log) {
    this.#name = addressName(address)
    this.#log = log
  }

  /** True from the first failed try until the next success. */
  get away(): boolean {
    return this.#away
  }

  /** From now on connections end because we end them. */
  close(): void {
    this.#closed = true
  }

  /** Listens to a connection; without an `error` listener its failure would end the process. */
  follow(client: Redis): void {
    client.on('error', (error: unknown) => this.#lost(causeOf(error)))
    client.on('close', () => this.#lost('closed'))
    client.on('ready', () => {
      this.#found()
      client.info('memory').then(
        (text) => this.#checkPolicy(text),
        () => undefined,
      )
    })
  }

  /** The error of a call that Redis did not answer. */
  unreachable(what: string, cause: unknown): MosaikError {
    return new MosaikError(
      'E_INTERNAL',
      `could not ${what}: Redis at ${this.#name} does not answer; is it running, and is the address right?`,
      { redis: this.#name, cause: causeOf(cause) },
      cause,
    )
  }

  #lost(cause: string): void {
    if (this.#away || this.#closed) return
    this.#away = true
    this.#log.warn('queue.redis-away', { redis: this.#name, cause })
  }

  #found(): void {
    if (!this.#away || this.#closed) return
    this.#away = false
    this.#log.info('queue.redis-back', { redis: this.#name })
  }

  #checkPolicy(info: string): void {
    const policy = /^maxmemory_policy:(\S+)/m.exec(info)?.[1]
    if (policy === undefined || policy === 'noeviction' || this.#policyTold) return
    this.#policyTold = true
    this.#log.warn('queue.redis-evicts', {
      redis: this.#name,
      policy,
      advice:
        'set maxmemory-policy noeviction: when memory is short Redis would drop jobs, and work would wait for the sweep',
    })
  }
}

/** A connection that comes back by itself for as long as the process lives. */
export function connectRedis(
  address: string,
  watch: RedisWatch,
  options: Pick<RedisOptions, 'enableOfflineQueue' | 'maxRetriesPerRequest' | 'commandTimeout'>,
): Redis {
  const client = new Redis(address, {
    ...options,
    retryStrategy: (times: number) => Math.min(50 * 2 ** Math.min(times, 10), maxReconnectMs),
    connectTimeout: 5000,
    keepAlive: 10_000,
  })
  watch.follow(client)
  return client
}

/** A word for why: the system's or Redis' own code, never a whole message. */
export function causeOf(error: unknown): string {
  const { code, message, name } = error as { code?: unknown; message?: unknown; name?: unknown }
  if (typeof code === 'string' || typeof code === 'number') return String(code)
  if (typeof message === 'string') {
    // Redis begins its errors with a word in capitals: NOAUTH, WRONGPASS, OOM, LOADING.
    const word = /^[A-Z]{3,}\b/.exec(message)?.[0]
    if (word !== undefined) return word
    if (/timed out/i.test(message)) return 'timeout'
    if (/connection is closed|isn't writeable|max retries/i.test(message)) return 'closed'
  }
  return typeof name === 'string' ? name : 'unknown'
}
