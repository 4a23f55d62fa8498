// Puts recordings onto the nodes and lets go of their sources. Any number; they share the spool with the api.
import { runProcess } from '../src/main/worker-process.ts'

await runProcess(['store'])
