import { execFileSync, spawn, type ChildProcess } from 'node:child_process'
import { existsSync, readFileSync, readlinkSync } from 'node:fs'
import { join } from 'node:path'
import type { Log } from '../../ports/system.ts'

/** True when the process runs and its command line, or for an old Redis its working folder, is that of our folder. */
export function isOurRedis(pid: number, folder: string): boolean {
  if (!Number.isInteger(pid) || pid <= 1) return false
  const title = commandLine(pid)
  if (title.includes(join(folder, 'redis.conf'))) return true
  if (!/redis|valkey/.test(title)) return false
  try {
    return readlinkSync(`/proc/${pid}/cwd`) === folder
  } catch {
    return false
  }
}

function commandLine(pid: number): string {
  if (existsSync('/proc/self/cmdline')) return readText(`/proc/${pid}/cmdline`).replaceAll('\0', ' ')
  return ps(pid, 'command')
}

/** The process that started it, or that inherited it; NaN when there is none. */
export function parentOf(pid: number): number {
  // pid (name) state parent …; the name may hold anything, also brackets.
  if (existsSync('/proc/self/stat')) return Number(/^.*\) \S (\d+)/s.exec(readText(`/proc/${pid}/stat`))?.[1])
  return Number(ps(pid, 'ppid'))
}

function ps(pid: number, column: string): string {
  try {
    return execFileSync('ps', ['-o', `${column}=`, '-p', String(pid)], { encoding: 'utf8' }).trim()
  } catch {
    return ''
  }
}

/** The text of a file, empty when there is none. */
export function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return ''
  }
}

/**
 * A process that does nothing but wait for the end of ours: its input is a pipe that only we hold. Then it stops Redis, if
 * the process of that number still is the one.
 */
export function watch(pid: number, folder: string, log: Log, environment: NodeJS.ProcessEnv | undefined): ChildProcess {
  const script = `read -r line
title=$(tr '\\0' ' ' 2>/dev/null <"/proc/$1/cmdline" || ps -o command= -p "$1")
case "$title" in *"$2"*) kill -TERM "$1"; exit ;; esac
[ "$(readlink "/proc/$1/cwd")" = "$2" ] && kill -TERM "$1"`
  const watcher = spawn('/bin/sh', ['-c', script, 'mosaik-redis-watch', String(pid), folder], {
    detached: true,
    stdio: ['pipe', 'ignore', 'ignore'],
    ...(environment ? { env: environment } : {}),
  })
  watcher.once('error', (error) => log.warn('redis.no-watcher', { cause: error.name }))
  watcher.stdin?.on('error', () => undefined)
  ;(watcher.stdin as unknown as { unref?(): void } | null)?.unref?.()
  watcher.unref()
  return watcher
}
