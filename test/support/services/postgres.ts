import { randomBytes } from 'node:crypto'
import { chmodSync, existsSync, mkdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import pg from 'pg'
import { findProgram, hasUser, pidFrom, run, versionFolders, withChildren } from './commands.ts'
import type { Starter } from './kinds.ts'
import { isAlive } from './run-folder.ts'

/** PostgreSQL refuses to run as root: then everything is done as this user, which the packages make. */
const SERVER_USER = 'postgres'

/** PostgreSQL, not durable (fsync off): fast, and lost when the machine fails. */
export const postgres: Starter<'postgres'> = {
  missing: () => {
    if (program('initdb') === undefined || program('pg_ctl') === undefined) {
      return 'no initdb, pg_ctl; apt-get install postgresql'
    }
    if (isRoot() && !hasUser(SERVER_USER)) return `no user ${SERVER_USER}, which root needs; apt-get install postgresql`
    return undefined
  },
  start: async (folder, port) => {
    const data = join(folder, 'data')
    if (!existsSync(join(folder, 'ready'))) await initialise(folder, data)
    const pidFile = join(data, 'postmaster.pid')
    const pids = (): number[] => {
      try {
        const pid = pidFrom(pidFile)
        return isAlive(pid) ? withChildren(pid) : []
      } catch {
        return []
      }
    }
    const start = async (): Promise<void> => {
      if (pids().length > 0) return
      const options = `-p ${port} -h 127.0.0.1 -c unix_socket_directories= -c fsync=off -c max_connections=200`
      await asServer('pg_ctl', ['-D', data, '-l', join(folder, 'server.log'), '-w', '-s', '-o', options, 'start'])
    }
    const stop = async (mode: string): Promise<void> => {
      if (pids().length === 0) return
      for (const pid of pids()) process.kill(pid, 'SIGCONT')
      await asServer('pg_ctl', ['-D', data, '-w', '-s', '-m', mode, 'stop'])
    }
    const signalAll = async (name: NodeJS.Signals): Promise<void> => {
      for (const pid of pids()) process.kill(pid, name)
    }
    await start()
    const url = `postgres://${SERVER_USER}@127.0.0.1:${port}/postgres`
    return {
      url,
      createDatabase: (originalUrl) => createDatabase(url, originalUrl),
      start,
      stop: () => stop('fast'),
      // "immediate" ends it without a checkpoint, as a power cut would, but leaves no shared memory behind.
      kill: () => stop('immediate'),
      pause: () => signalAll('SIGSTOP'),
      resume: () => signalAll('SIGCONT'),
    }
  },
  destroy: async (folder) => {
    const data = join(folder, 'data')
    if (existsSync(join(data, 'postmaster.pid'))) {
      for (const pid of withChildren(pidFrom(join(data, 'postmaster.pid'))))
        if (isAlive(pid)) process.kill(pid, 'SIGCONT')
      await asServer('pg_ctl', ['-D', data, '-w', '-s', '-m', 'immediate', 'stop']).catch(() => '')
    }
    rmSync(folder, { recursive: true, force: true })
  },
}

async function initialise(folder: string, data: string): Promise<void> {
  rmSync(folder, { recursive: true, force: true })
  mkdirSync(folder, { recursive: true })
  if (isRoot()) {
    chmodSync(folder, 0o755)
    await run('chown', [SERVER_USER, folder])
  }
  const format = ['-E', 'UTF8', '--locale=C', '--no-sync', '--auth=trust']
  await asServer('initdb', ['-D', data, '-U', SERVER_USER, ...format])
  await asServer('touch', [join(folder, 'ready')])
}

async function createDatabase(url: string, originalUrl?: string): Promise<string> {
  const name = `t${randomBytes(6).toString('hex')}`
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  try {
    const original = originalUrl === undefined ? 'template1' : new URL(originalUrl).pathname.slice(1)
    await client.query(`create database ${name} template ${original}`)
  } finally {
    await client.end()
  }
  return url.replace(/postgres$/, name)
}

function asServer(name: string, args: readonly string[]): Promise<string> {
  const path = program(name) ?? name
  if (!isRoot()) return run(path, args)
  return run('setpriv', [`--reuid=${SERVER_USER}`, `--regid=${SERVER_USER}`, '--clear-groups', path, ...args])
}

function program(name: string): string | undefined {
  return findProgram(name, versionFolders('/usr/lib/postgresql', 'bin'))
}

function isRoot(): boolean {
  return process.getuid?.() === 0
}
