import { isMosaikError } from '../domain/errors.ts'
import type { Id } from '../domain/ids.ts'
import type { Catalog } from '../ports/catalog.ts'
import type { Keyring } from '../ports/keyring.ts'
import { createVaultReader, type VaultReaderPorts } from '../retrieve/open-recording.ts'
import { rewrap, type RewrapPorts } from '../upkeep/keyed/rewrap.ts'
import { destroyOldKeys } from './rotate-keys.ts'

export type RewrapUpkeepPorts = Omit<RewrapPorts, 'open'> &
  VaultReaderPorts & { readonly catalog: Catalog; readonly keyring: Keyring }

const LOOK_EVERY_MS = 30_000
/** Old keys may lie here for long before somebody has them destroyed: then there is nothing to do. */
const LOOK_AGAIN_MS = 10 * 60_000
/** Below the keyring's cap of unwraps, so that viewers are served meanwhile. */
export const REWRAPS_PER_MINUTE = 240

/** Wraps manifests anew after a rotation of keys, and after a rebuild that had to make new ones. */
export function startRewrapUpkeep(ports: RewrapUpkeepPorts): { close(): Promise<void> } {
  const stop = new AbortController()
  const { signal } = stop
  /** By organisation and epoch in force. */
  const restsUntilMs = new Map<string, number>()

  const look = async (organisation: Id): Promise<void> => {
    const { epochs, hasRebuildSeed } = await ports.keyring.heldEpochs(organisation)
    if (epochs.length === 1 && !hasRebuildSeed) return
    const restKey = `${organisation}/${epochs.at(-1)}`
    if ((restsUntilMs.get(restKey) ?? 0) > ports.clock.monotonicMs()) return
    // A reader for each: what it keeps of a manifest goes with it.
    const open: RewrapPorts['open'] = (...given) => createVaultReader(ports).open(...given)
    const done = await rewrap({ ...ports, open }, organisation, { perMinute: REWRAPS_PER_MINUTE }, signal)
    if (!done) return
    if (done.rewrapped + done.waiting > 0) ports.log.info('rewrap.pass-ended', { organisation, ...done })
    if (done.waiting > 0) return
    // The recovery key has no business here once nothing is sealed to lost keys any more.
    if (hasRebuildSeed && epochs.length === 1) {
      await destroyOldKeys(ports, organisation)
      ports.log.info('rewrap.recovery-key-forgotten', { organisation })
    }
    restsUntilMs.set(restKey, ports.clock.monotonicMs() + LOOK_AGAIN_MS)
  }

  const loop = async (): Promise<void> => {
    while (!signal.aborted) {
      try {
        for (const { id } of await ports.catalog.installation.organisations()) await look(id)
      } catch (error) {
        if (signal.aborted) return
        const fields = isMosaikError(error) ? { code: error.code, ...error.fields } : { code: 'E_INTERNAL' }
        ports.log.warn('upkeep.rewrap-failed', fields)
      }
      await ports.clock.sleep(LOOK_EVERY_MS, signal).catch(() => undefined)
    }
  }

  const running = loop()
  return {
    async close() {
      stop.abort()
      await running
    },
  }
}
