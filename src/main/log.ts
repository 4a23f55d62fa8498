import { join } from 'node:path'
import { destination } from 'pino'
import { pinoLog } from '../adapters/pino-log.ts'
import type { Clock, Log } from '../ports/system.ts'
import type { Config } from './config.ts'

/**
 * The log of this process: JSON lines where the settings say, else to `otherwise`: a file, or 1 for standard output.
 */
export function openLog(
  config: Config,
  clock: Clock,
  otherwise: string | 1 = join(config.data, 'mosaik.log'),
): { readonly log: Log; readonly close: () => void } {
  const target = destination({
    dest: config.logFile ?? otherwise,
    mkdir: true,
    sync: true,
    mode: 0o600,
  })
  return {
    log: pinoLog({ clock, level: config.logLevel, destination: target }),
    close: () => target.end(),
  }
}
