import { describe } from 'vitest'
import { MemoryStore } from '../../support/memory-store.ts'
import { objectStoreContract } from './suite.ts'

describe('memory', () => {
  objectStoreContract({
    manyKeys: 2500,
    open: async () => {
      const store = new MemoryStore()
      return {
        store,
        leftovers: async () => (store.openWriters === 0 ? [] : [`${store.openWriters} writers`]),
        close: async () => {},
      }
    },
  })
})
