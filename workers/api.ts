// The doors: API, uploads, watch page. Any number behind one address; they share catalog, Redis, keyring and spool.
import { runProcess } from '../src/main/worker-process.ts'

await runProcess(['api'])
