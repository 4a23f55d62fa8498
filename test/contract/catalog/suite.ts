import { afterEach, beforeEach, describe } from 'vitest'
import { accessSuite } from './access.ts'
import type { CatalogUnderTest } from './fixtures.ts'
import { layoutSuite } from './layout.ts'
import { listSuite } from './list.ts'
import { planSuite } from './plans.ts'
import { recordingSuite } from './recordings.ts'
import { upkeepSuite } from './upkeep.ts'
import { workSuite } from './work.ts'

/** Opens a migrated catalog in a new, empty database; `close` ends all that was opened. */
export type OpenForTest = () => Promise<CatalogUnderTest & { close(): Promise<void> }>

/** What ports/catalog promises, sentence by sentence; every implementation passes it. */
export function catalogSuite(name: string, open: OpenForTest): void {
  describe(`the catalog in ${name}`, () => {
    let opened: Awaited<ReturnType<OpenForTest>> | undefined
    beforeEach(async () => {
      opened = await open()
    })
    afterEach(async () => {
      await opened?.close()
      opened = undefined
    })
    const underTest = (): CatalogUnderTest => {
      if (!opened) throw new Error('no catalog was opened')
      return opened
    }
    recordingSuite(underTest)
    listSuite(underTest)
    workSuite(underTest)
    layoutSuite(underTest)
    accessSuite(underTest)
    planSuite(underTest)
    upkeepSuite(underTest)
  })
}
