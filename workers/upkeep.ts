// Organisation states, vault cards, collector. One; a second one at the same time does no harm.
import { runProcess } from '../src/main/worker-process.ts'

await runProcess(['upkeep'])
