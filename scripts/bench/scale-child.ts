// A worker process of both kinds of work; as in `workers/`, settings come from the environment.
import { runProcess } from '../../src/main/worker-process.ts'

await runProcess(['store', 'transcode'])
