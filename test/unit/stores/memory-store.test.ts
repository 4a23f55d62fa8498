import { expect, it } from 'vitest'
import { failAll, failCall, MemoryStore } from '../../support/memory-store.ts'

const never = new AbortController().signal
const three = Uint8Array.of(1, 2, 3)

it('fails the call that is asked for, and only it', async () => {
  const store = new MemoryStore()
  store.fault = failCall(2)
  await store.put('f/a', three, never)
  await expect(store.put('f/b', three, never)).rejects.toMatchObject({ code: 'E_NODE_UNREACHABLE' })
  await store.put('f/b', three, never)
  store.fault = failAll('E_NODE_FULL')
  await expect(store.head('f/a', never)).rejects.toMatchObject({ code: 'E_NODE_FULL' })
})

it('stalls until the signal ends', async () => {
  const store = new MemoryStore()
  store.fault = () => 'stall'
  await expect(store.head('f/a', AbortSignal.timeout(20))).rejects.toMatchObject({ code: 'E_ABORTED' })
})

it('a writer that failed is dead, and must still be aborted', async () => {
  const store = new MemoryStore()
  const writer = await store.create('f/a', never)
  store.fault = failAll()
  await expect(writer.write(three)).rejects.toMatchObject({ code: 'E_NODE_UNREACHABLE' })
  store.fault = undefined
  await expect(writer.commit()).rejects.toMatchObject({ code: 'E_NODE_UNREACHABLE' })
  expect(store.openWriters).toBe(1)
  await writer.abort()
  expect(store.openWriters).toBe(0)
  expect(await store.head('f/a', never)).toBeUndefined()
})

it('damages and cuts what lies there', async () => {
  const store = new MemoryStore()
  await store.put('f/a', three, never)
  store.corrupt('f/a', 1)
  expect([...(await store.get('f/a', undefined, never))]).toEqual([1, 3, 3])
  store.truncate('f/a', 2)
  await expect(store.get('f/a', { offsetBytes: 0, lengthBytes: 3 }, never)).rejects.toMatchObject({
    code: 'E_OBJECT_RANGE',
  })
})
