import { argon2, timingSafeEqual } from 'node:crypto'
import { MosaikError } from '../domain/errors.ts'
import type { PasscodeHasher } from '../ports/passcode.ts'
import type { Random } from '../ports/system.ts'

/** Work of one hash. Argon2id, one lane (RFC 9106). */
export interface Argon2Cost {
  readonly memoryKib: number
  readonly passes: number
}

/** 64 MiB and three passes: RFC 9106's second choice, for machines that do other things too. */
export const PASSCODE_COST: Argon2Cost = { memoryKib: 65_536, passes: 3 }
/** A hash in the catalog that asks for more than this was not made by us. */
const MOST = { memoryKib: 1_048_576, passes: 64 } as const
const SALT_BYTES = 16
const TAG_BYTES = 32
/** At once; libuv has four threads, and files and names have to be looked up meanwhile. */
const MAX_RUNNING = 2
/** Waiting for their turn: half a minute of work. */
const MAX_WAITING = 32

const phcPattern = /^\$argon2id\$v=19\$m=([1-9]\d{0,6}),t=([1-9]\d?),p=1\$([A-Za-z0-9+/]{22})\$([A-Za-z0-9+/]{43})$/

/** Argon2id on libuv's threads, kept in the PHC string format. */
export function createArgon2Passcodes(random: Pick<Random, 'bytes'>, cost: Argon2Cost = PASSCODE_COST): PasscodeHasher {
  let running = 0
  const waiting: (() => void)[] = []

  async function tag(passcode: string, nonce: Uint8Array, { memoryKib, passes }: Argon2Cost): Promise<Buffer> {
    if (running >= MAX_RUNNING) {
      if (waiting.length >= MAX_WAITING) throw new MosaikError('E_RATE_LIMIT', 'too many passcodes are being checked')
      await new Promise<void>((resolve) => waiting.push(resolve))
    } else running += 1
    try {
      return await new Promise((resolve, reject) => {
        const message = Buffer.from(passcode, 'utf8')
        const parameters = { message, nonce, parallelism: 1, tagLength: TAG_BYTES, memory: memoryKib, passes }
        argon2('argon2id', parameters, (error, result) => (error === null ? resolve(result) : reject(error)))
      })
    } finally {
      const next = waiting.shift()
      if (next === undefined) running -= 1
      else next()
    }
  }

  return {
    async hash(passcode) {
      const salt = random.bytes(SALT_BYTES)
      const result = await tag(passcode, salt, cost)
      return `$argon2id$v=19$m=${cost.memoryKib},t=${cost.passes},p=1$${unpadded(salt)}$${unpadded(result)}`
    },

    async verify(passcode, hash) {
      const [, memory, passes, salt, expected] = phcPattern.exec(hash) ?? []
      if (salt === undefined || expected === undefined) throw notOurs()
      const found: Argon2Cost = { memoryKib: Number(memory), passes: Number(passes) }
      if (found.memoryKib > MOST.memoryKib || found.passes > MOST.passes) throw notOurs()
      const result = await tag(passcode, Buffer.from(salt, 'base64'), found)
      return timingSafeEqual(result, Buffer.from(expected, 'base64'))
    },
  }
}

function notOurs(): MosaikError {
  return new MosaikError('E_INTERNAL', 'the catalog holds a passcode hash that cannot be read')
}

function unpadded(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('base64').replace(/=+$/, '')
}
