import { existsSync, mkdirSync, rmSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { findProgram, pidFrom, run } from './commands.ts'
import type { Starter } from './kinds.ts'
import { isAlive } from './run-folder.ts'

/** Redis without persistence: what is killed is empty afterwards. */
export const redis: Starter<'redis'> = {
  missing: () =>
    findProgram('redis-server') === undefined ? 'no redis-server; apt-get install redis-server' : undefined,
  start: async (folder, port) => {
    mkdirSync(folder, { recursive: true })
    const start = async (): Promise<void> => {
      if (runningPid(folder) === undefined) await launch(folder, port)
      await untilListening(port)
    }
    await start()
    const signal = (name: NodeJS.Signals): void => {
      const pid = runningPid(folder)
      if (pid !== undefined) process.kill(pid, name)
    }
    const end = async (name: NodeJS.Signals): Promise<void> => {
      const pid = runningPid(folder)
      if (pid === undefined) return
      process.kill(pid, name)
      process.kill(pid, 'SIGCONT')
      while (isAlive(pid)) await sleep(10)
    }
    return {
      url: `redis://127.0.0.1:${port}`,
      port,
      start,
      stop: () => end('SIGTERM'),
      kill: () => end('SIGKILL'),
      pause: async () => signal('SIGSTOP'),
      resume: async () => signal('SIGCONT'),
    }
  },
  destroy: async (folder) => {
    const pid = runningPid(folder)
    if (pid !== undefined) process.kill(pid, 'SIGKILL')
    rmSync(folder, { recursive: true, force: true })
  },
}

async function launch(folder: string, port: number): Promise<void> {
  const pidFile = join(folder, 'redis.pid')
  rmSync(pidFile, { force: true })
  const network = ['--port', String(port), '--bind', '127.0.0.1', '--dir', folder]
  const detached = ['--daemonize', 'yes', '--pidfile', pidFile, '--logfile', join(folder, 'redis.log')]
  await run(findProgram('redis-server') ?? 'redis-server', [
    ...network,
    ...detached,
    '--save',
    '',
    '--appendonly',
    'no',
  ])
}

function runningPid(folder: string): number | undefined {
  const path = join(folder, 'redis.pid')
  if (!existsSync(path)) return undefined
  try {
    const pid = pidFrom(path)
    return isAlive(pid) ? pid : undefined
  } catch {
    return undefined
  }
}

async function untilListening(port: number): Promise<void> {
  for (let attempt = 0; attempt < 500; attempt++) {
    const open = await new Promise<boolean>((resolve) => {
      const socket = connect(port, '127.0.0.1', () => resolve(true)).once('error', () => resolve(false))
      socket.once('connect', () => socket.destroy())
    })
    if (open) return
    await sleep(20)
  }
  throw new Error(`nothing listens on ${port}`)
}
