import { runFolder } from './run-folder.ts'
import { destroyAll } from './starters.ts'

const USERS = Symbol.for('mosaik.test.services.users')
const users = globalThis as unknown as Record<symbol, number | undefined>

/**
 * Vitest's globalSetup. Names the run's folder, so that all workers share the services which tests start in it, and ends
 * them after the last project's tests. Starts nothing itself.
 */
export default function setup(): () => Promise<void> {
  const folder = runFolder()
  users[USERS] = (users[USERS] ?? 0) + 1
  return async () => {
    const left = (users[USERS] ?? 1) - 1
    users[USERS] = left
    if (left === 0) await destroyAll(folder)
  }
}
