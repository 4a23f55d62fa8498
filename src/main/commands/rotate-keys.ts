import { readFileSync } from 'node:fs'
import { nodePrimitives } from '../../adapters/node-primitives.ts'
import { rootSigningSeed } from '../../crypto/keys.ts'
import { signingKeys, signPair } from '../../crypto/signature.ts'
import { MosaikError } from '../../domain/errors.ts'
import { decodeRecoveryKey } from '../../format/recovery-key.ts'
import { CARD_CONTEXT } from '../../format/vault-card.ts'
import type { Config } from '../config.ts'
import { nodeClock } from '../../adapters/node-system.ts'
import { openLog } from '../log.ts'
import { destroyOldKeys, rotateKeys, rotationStatus, type CardSigner, type RotationStatus } from '../rotate-keys.ts'
import type { Screen } from '../screen.ts'
import { openForUpkeep } from '../upkeep-access.ts'

export interface RotateKeysOptions {
  readonly status?: boolean | undefined
  readonly destroyOld?: boolean | undefined
  readonly recoveryKeyFile?: string | undefined
}

/**
 * `mosaik rotate-keys`: keys of a new epoch for every organisation; `--status` tells how far the wrapping anew is; `--destroy-old` destroys the
 * keys before when nothing needs them. Works beside a running vault.
 */
export async function rotateKeysCommand(config: Config, screen: Screen, options: RotateKeysOptions): Promise<void> {
  const root = options.recoveryKeyFile === undefined ? undefined : rootOf(options.recoveryKeyFile)
  const access = await openForUpkeep(config)
  const log = openLog(config, nodeClock)
  try {
    const ports = { ...access, log: log.log }
    const organisations = (await access.catalog.installation.organisations()).map(({ id }) => id)
    if (options.status === true) {
      const all = await Promise.all(organisations.map((id) => rotationStatus(ports, id)))
      return screen.result(all.map(statusWords).join('\n'), all)
    }
    if (options.destroyOld === true) {
      const all = []
      for (const organisation of organisations) {
        all.push({ organisation, ...(await destroyOldKeys(ports, organisation)) })
      }
      const words = all.map(({ organisation, destroyed }) =>
        destroyed.length === 0
          ? `organisation ${organisation}: there were no old epochs`
          : `organisation ${organisation}: keys of epoch ${destroyed.join(', ')} are destroyed. Copies of keyring.json from before still hold them: destroy those too, and back it up again`,
      )
      return screen.result(words.join('\n'), all)
    }
    const all = []
    for (const organisation of organisations) all.push(await rotateKeys(ports, organisation, root))
    const words = all.map(
      ({ organisation, epoch, nodes }) =>
        `organisation ${organisation}: epoch ${epoch} is in force, its vault card is on ${nodes.length} nodes`,
    )
    words.push(
      'Back keyring.json up now. The running vault wraps the manifests anew in the background; `--status` tells how far it is.',
    )
    screen.result(words.join('\n'), all)
  } finally {
    log.close()
    await access.close()
  }
}

function statusWords(status: RotationStatus): string {
  const { organisation, epoch, next, oldEpochs, hasRebuildSeed, recordings, toRewrap } = status
  const old = [...oldEpochs.map((one) => `epoch ${one}`), ...(hasRebuildSeed ? ['the recovery key of a rebuild'] : [])]
  const lines = [`organisation ${organisation}: epoch ${epoch} is in force`]
  if (next !== null) lines.push(`  epoch ${next} is prepared and not in force: run \`npx mosaik rotate-keys\` again`)
  if (old.length === 0) lines.push('  there are no old keys')
  else lines.push(`  old keys: ${old.join(', ')}; ${toRewrap} of ${recordings} recordings still need them`)
  if (old.length > 0 && toRewrap === 0) lines.push('  `npx mosaik rotate-keys --destroy-old` destroys them')
  return lines.join('\n')
}

function rootOf(path: string): CardSigner {
  let text: string
  try {
    text = readFileSync(path, 'utf8')
  } catch (error) {
    throw new MosaikError('E_INPUT', `the file ${path} of the recovery key cannot be read`, {}, error)
  }
  const seed = decodeRecoveryKey(text, nodePrimitives.sha256)
  const keys = signingKeys(nodePrimitives, rootSigningSeed(nodePrimitives, seed))
  return { keys: keys.publicKeys, sign: (message) => Promise.resolve(signPair(keys, CARD_CONTEXT, message)) }
}
