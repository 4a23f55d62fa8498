import { join } from 'node:path'
import { destination } from 'pino'
import { pinoLog } from '../adapters/pino-log.ts'
import type { Clock, Log } from '../ports/system.ts'
import type { Config } from './config.ts'

/** The log of this process: JSON lines into `mosaik.log` in the data folder, or where the settings say. */
export function openLog(config: Config, clock: Clock): { readonly log: Log; readonly close: () => void } {
  const target = destination({
    dest: config.logFile ?? join(config.data, 'mosaik.log'),
    mkdir: true,
    sync: true,
    mode: 0o600,
  })
  return {
    log: pinoLog({ clock, level: config.logLevel, destination: target }),
    close: () => target.end(),
  }
}
