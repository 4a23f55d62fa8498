import { spawn } from 'node:child_process'
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'

/** Environment variable with the folder of the run, handed on to the test runner's worker processes. */
const VARIABLE = 'MOSAIK_TEST_SERVICES'

const LOCK_WAIT_MS = 180_000

/** Ports of one instance: a block of this many. Below the kernel's range for outgoing connections. */
const BLOCK = 100
const FIRST_BLOCK = 120
const LAST_BLOCK = 318

/**
 * The folder in which the services of this test run live. The first call makes it, and starts a watchman that removes
 * everything when this process is gone, however it went.
 */
export function runFolder(): string {
  const known = process.env[VARIABLE]
  if (known !== undefined) return known
  const folder = join(tmpdir(), `mosaik-services-${process.pid}`)
  // World-readable: PostgreSQL may run as another user.
  mkdirSync(folder, { recursive: true, mode: 0o755 })
  process.env[VARIABLE] = folder
  const reaper = fileURLToPath(new URL('reaper.ts', import.meta.url))
  spawn(process.execPath, [reaper, folder, String(process.pid)], { detached: true, stdio: 'ignore' }).unref()
  return folder
}

/** Runs `work` while no other process of this run does anything under the same name. */
export async function withLock<T>(folder: string, name: string, work: () => Promise<T>): Promise<T> {
  const path = join(folder, `${name}.lock`)
  for (let waitedMs = 0; !claim(path); waitedMs += 50) {
    if (waitedMs > LOCK_WAIT_MS) throw new Error(`somebody has been holding ${path} for ${LOCK_WAIT_MS} ms`)
    await sleep(50)
  }
  try {
    return await work()
  } finally {
    rmSync(path, { force: true })
  }
}

/** First of BLOCK free ports that are this run's until `releasePorts`. Other runs on this machine keep away from them. */
export async function reservePorts(): Promise<number> {
  const folder = join(tmpdir(), 'mosaik-ports')
  mkdirSync(folder, { recursive: true, mode: 0o777 })
  const start = FIRST_BLOCK + (process.pid % (LAST_BLOCK - FIRST_BLOCK))
  for (let i = 0; i <= LAST_BLOCK - FIRST_BLOCK; i++) {
    const block = FIRST_BLOCK + ((start - FIRST_BLOCK + i) % (LAST_BLOCK - FIRST_BLOCK + 1))
    if (!claim(join(folder, String(block * BLOCK)), ownerPid())) continue
    if (await allFree(block * BLOCK)) return block * BLOCK
    releasePorts(block * BLOCK)
  }
  throw new Error('no block of free ports')
}

/** Gives a block of ports back. */
export function releasePorts(firstPort: number): void {
  rmSync(join(tmpdir(), 'mosaik-ports', String(firstPort)), { force: true })
}

/** True while a process of that id is there. */
export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
}

/** Takes a file as one's own; one whose owner is dead can be taken over. */
function claim(path: string, pid: number = process.pid): boolean {
  for (let attempt = 0; attempt < 2; attempt++) {
    try {
      writeFileSync(path, String(pid), { flag: 'wx' })
      return true
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
    }
    const holder = Number(readText(path))
    // 0: just being written by another process.
    if (holder === 0 || isAlive(holder)) return false
    rmSync(path, { force: true })
  }
  return false
}

/** The process whose end is the end of the run: the one that named the folder. */
function ownerPid(): number {
  const fromName = /mosaik-services-(\d+)$/.exec(runFolder())
  return fromName === null ? process.pid : Number(fromName[1])
}

function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return ''
  }
}

async function allFree(firstPort: number): Promise<boolean> {
  const ports = Array.from({ length: BLOCK }, (_, i) => firstPort + i)
  return (await Promise.all(ports.map(isFree))).every(Boolean)
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer()
    server.once('error', () => resolve(false))
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)))
  })
}
