import { describe, expect, it } from 'vitest'
import { MosaikError } from '../../../src/domain/errors.ts'
import { nodeClock, nodeRandom } from '../../../src/adapters/node-system.ts'
import { loggable, pinoLog } from '../../../src/adapters/pino-log.ts'

describe('log', () => {
  const lines: string[] = []
  const destination = { write: (line: string) => void lines.push(line) }
  const log = pinoLog({ clock: { nowMs: () => 1234 }, destination })

  it('writes one JSON line an event', () => {
    log.warn('node.slow', { node: 'n1', count: 3, event: 'mine', level: 'mine' })
    expect(lines).toHaveLength(1)
    expect(JSON.parse(lines[0]!)).toEqual({ level: 'warn', time: 1234, node: 'n1', count: 3, event: 'node.slow' })
  })

  it('never prints bytes or what is named as a secret, however deep', () => {
    lines.length = 0
    const canary = 'CANARY'
    const key = new TextEncoder().encode(canary)
    log.error('x', {
      key,
      list: [key, Buffer.from(canary), key.buffer],
      error: new MosaikError('E_HPKE_OPEN', 'no', { count: 1 }, Object.assign(new Error('deep'), { dek: canary })),
      map: new Map([['access_token', canary]]),
      nested: { 'Set-Cookie': canary, Authorization: canary, rootSeed: canary, passPhrase: canary, verifyKey: canary },
      fn: () => canary,
    })
    const line = lines.join('')
    expect(line).not.toContain(canary)
    expect(line).not.toContain(Buffer.from(canary).toString('hex'))
    expect(line).not.toContain('67,65,78')
    expect(JSON.parse(line)).toMatchObject({
      key: '<bytes 6>',
      list: ['<bytes 6>', '<bytes 6>', '<bytes 6>'],
      error: { code: 'E_HPKE_OPEN', message: 'no', fields: { count: 1 }, cause: { message: 'deep' } },
      map: {},
      nested: {},
    })
  })

  it('escapes what a terminal would act on', () => {
    expect(loggable('a\u001b[31m\nb\u2028\u202ec')).toBe('a\\u001b[31m\\u000ab\\u2028\\u202ec')
    expect((loggable('x'.repeat(5000)) as string).length).toBe(2001)
    const loop: Record<string, unknown> = {}
    loop['self'] = loop
    expect(JSON.stringify(loggable(loop))).toContain('<too deep>')
  })
})

describe('system', () => {
  it('draws randomness of the length asked for, entropy from the kernel', () => {
    const random = nodeRandom()
    expect(random.bytes(32)).toHaveLength(32)
    expect(random.entropy(100_000)).toHaveLength(100_000)
    expect(random.entropy(32)).not.toEqual(random.entropy(32))
    expect(
      nodeRandom('/dev/urandom')
        .entropy(32)
        .some((byte) => byte !== 0),
    ).toBe(true)
    const fractions = Array.from({ length: 100 }, () => random.fraction())
    expect(fractions.every((one) => one >= 0 && one < 1)).toBe(true)
  })

  it('refuses an entropy device that is not there or ends', () => {
    for (const device of ['/dev/null', '/dev/mosaik-none']) {
      expect(() => nodeRandom(device).entropy(1)).toThrow(expect.objectContaining({ code: 'E_CONFIG' }))
    }
  })

  it('sleeps, and wakes with the reason of the signal', async () => {
    const start = nodeClock.monotonicMs()
    await nodeClock.sleep(10)
    expect(nodeClock.monotonicMs() - start).toBeGreaterThan(8)
    const reason = new MosaikError('E_ABORTED', 'enough')
    const controller = new AbortController()
    const sleeping = nodeClock.sleep(60_000, controller.signal)
    controller.abort(reason)
    await expect(sleeping).rejects.toBe(reason)
  })
})
