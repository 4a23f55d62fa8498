import { parentPort } from 'node:worker_threads'

// The real thread program, but segment 13 ends it, as running out of memory does.
parentPort?.on('message', (message: { segment?: number }) => {
  if (message.segment === 13) process.exit(7)
})
await import('../../src/adapters/segment-engine/worker.ts')
