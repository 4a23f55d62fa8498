import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe } from 'vitest'
import { openDirectoryStore } from '../../../src/adapters/directory-store.ts'
import { objectStoreContract } from './suite.ts'
import { world } from './world.ts'

describe('directory', () => {
  objectStoreContract({
    manyKeys: 1500,
    open: async () => {
      const path = await mkdtemp(join(tmpdir(), 'mosaik-directory-'))
      await writeFile(join(path, 'mosaik-node'), 'marker')
      const store = await openDirectoryStore({ path, label: 'disk', registration: false, ...world })
      return {
        store,
        leftovers: () => readdir(join(path, '.tmp')),
        close: () => rm(path, { recursive: true }),
      }
    },
  })
})
