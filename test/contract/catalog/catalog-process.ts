import { openSqliteCatalog, openPostgresCatalog } from '../../../src/adapters/sql-catalog/open.ts'
import { aFragment, anAttempt, day, fileInput, newId, nodeIn } from './fixtures.ts'

/**
 * A second process on the same catalog, started by processes.test.ts:
 * `migrate TARGET`, `claim PATH ROUNDS WORK…` (prints the fences it won), `write PATH ORGANISATION` (writes until killed).
 */
const [task, target = '', ...rest] = process.argv.slice(2)
const clock = { nowMs: () => day }
const catalog = target.startsWith('postgres:') ? openPostgresCatalog(target, clock) : openSqliteCatalog(target, clock)

if (task === 'migrate') {
  await catalog.migrate()
  await catalog.close()
} else if (task === 'claim') {
  const won: string[] = []
  for (const work of rest) {
    const claimed = await catalog.work.claim(work, day, 60_000)
    if (claimed) won.push(work)
  }
  await catalog.close()
  process.stdout.write(JSON.stringify(won))
} else if (task === 'write') {
  const [organisation = ''] = rest
  const node = (await nodeIn(catalog)).id
  process.stdout.write('writing\n')
  // Each round is one transaction of hundreds of rows, and one of a recording with its work.
  for (;;) {
    const recording = newId()
    const work = newId()
    await catalog.recordings.create({
      id: recording,
      organisation,
      title: 'title',
      hostId: 'h',
      sourceKind: 'file',
      externalId: null,
      startedAtMs: null,
      scheme: { k: 3, n: 5, t: 1 },
      atMs: day,
      work: { id: work, stage: 'store', input: fileInput },
    })
    const fence = { work, fence: (await catalog.work.claim(work, day, 1000))?.fence ?? 0 }
    const attempt = anAttempt(organisation, recording)
    await catalog.layout.addAttempt(attempt, fence)
    await catalog.layout.addObjects(
      Array.from({ length: 300 }, (_, i) => aFragment(attempt, node, attempt.id, i)),
      fence,
    )
  }
}
