import { renameSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Clock } from '../../ports/system.ts'
import { readText } from './processes.ts'

/** A start is over long before. */
const maxLockAgeMs = 120_000

/** Folders that this process is starting in: a lock with our own number and none of these is of an earlier process. */
const held = new Set<string>()

/** One start at a time in a folder, over all processes: two Redis on one append-only file would ruin it. */
export async function withStartLock<T>(
  folder: string,
  clock: Pick<Clock, 'nowMs' | 'sleep'>,
  body: () => Promise<T>,
): Promise<T> {
  const path = join(folder, 'start.lock')
  while (!take(path)) {
    const holder = readText(path)
    if (isStale(path, holder, clock.nowMs())) putAside(path, holder)
    else await clock.sleep(50)
  }
  held.add(path)
  try {
    return await body()
  } finally {
    held.delete(path)
    rmSync(path, { force: true })
  }
}

function take(path: string): boolean {
  if (held.has(path)) return false
  try {
    writeFileSync(path, String(process.pid), { flag: 'wx', mode: 0o600 })
    return true
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false
    throw error
  }
}

function isStale(path: string, holder: string, nowMs: number): boolean {
  if (Number(holder) === process.pid) return !held.has(path)
  try {
    if (nowMs - statSync(path).mtimeMs > maxLockAgeMs) return true
    // Just made, its number not yet written.
    if (holder === '') return false
    process.kill(Number(holder), 0)
    return false
  } catch (error) {
    // A process of somebody else's is alive too; a lock that went meanwhile is for `take` to find gone.
    return (error as NodeJS.ErrnoException).code === 'ESRCH'
  }
}

/** Removes the lock of `holder`, and no other that came in between. */
function putAside(path: string, holder: string): void {
  const aside = `${path}.${process.pid}`
  try {
    renameSync(path, aside)
    if (readText(aside) === holder) rmSync(aside)
    else renameSync(aside, path)
  } catch {
    // Somebody else was quicker.
  }
}
