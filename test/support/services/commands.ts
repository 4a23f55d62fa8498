import { execFile, spawnSync } from 'node:child_process'
import { accessSync, constants, readdirSync, readFileSync } from 'node:fs'
import { delimiter, join } from 'node:path'

/** Runs a program to its end and gives back what it printed. @throws with the end of its error output */
export function run(program: string, args: readonly string[], options: { timeoutMs?: number } = {}): Promise<string> {
  return new Promise((resolve, reject) => {
    const timeout = options.timeoutMs ?? 120_000
    execFile(program, [...args], { timeout, maxBuffer: 1 << 24 }, (error, stdout, stderr) => {
      if (error === null) resolve(stdout)
      else reject(new Error(`${program} ${args.slice(0, 3).join(' ')} failed: ${stderr.slice(-2000) || error.message}`))
    })
  })
}

/** Path of an executable: in one of `folders`, or on PATH; undefined when there is none. */
export function findProgram(name: string, folders: readonly string[] = []): string | undefined {
  const path = (process.env['PATH'] ?? '').split(delimiter)
  for (const folder of [...folders, ...path, '/usr/sbin', '/usr/bin', '/usr/local/bin']) {
    if (folder === '') continue
    try {
      accessSync(join(folder, name), constants.X_OK)
      return join(folder, name)
    } catch {
      // next
    }
  }
  return undefined
}

/** True when this machine has a user of that name. */
export function hasUser(name: string): boolean {
  return spawnSync('id', ['-u', name], { stdio: 'ignore' }).status === 0
}

/** Folders named by a pattern with one `*` level, e.g. all versions' program folders of a package; newest first. */
export function versionFolders(parent: string, below: string): string[] {
  try {
    const versions = readdirSync(parent).sort((a, b) => Number(b) - Number(a))
    return versions.map((version) => join(parent, version, below))
  } catch {
    return []
  }
}

/** A process id from a pid file's first line. @throws when there is none */
export function pidFrom(path: string): number {
  const pid = Number(readFileSync(path, 'utf8').split('\n')[0])
  if (!Number.isInteger(pid) || pid <= 1) throw new Error(`${path} holds no process id`)
  return pid
}

/** The process and those that it started. */
export function withChildren(pid: number): number[] {
  try {
    const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ')
    return [pid, ...children.filter((child) => child !== '').map(Number)]
  } catch {
    return [pid]
  }
}
