import { hsmByTool, type Hsm } from '../adapters/pkcs11-tool.ts'
import { MosaikError } from '../domain/errors.ts'
import { hsmEnvironment, type Config } from './config.ts'
import { readSecretFile } from './passphrase.ts'
import { askHidden } from './terminal.ts'

/**
 * The HSM of the settings. Its PIN: MOSAIK_HSM_PIN, else the file of the settings, else a prompt.
 *
 * @throws E_CONFIG the settings do not name it; E_HSM_PIN there is none, and no terminal to ask on
 */
export async function findHsm(config: Config): Promise<Hsm> {
  const { hsmModule: module, hsmToken: token, hsmKey: key } = config
  if (module === undefined || token === undefined) {
    throw new MosaikError(
      'E_CONFIG',
      'the keyring opens with an HSM: set hsmModule and hsmToken (MOSAIK_HSM_MODULE, MOSAIK_HSM_TOKEN)',
    )
  }
  const pin =
    config.hsmPin ??
    (config.hsmPinFile === undefined
      ? await askHidden(`PIN of token ${token}: `)
      : readSecretFile(config.hsmPinFile, 'PIN', 'E_HSM_PIN'))
  if (pin === undefined) {
    throw new MosaikError(
      'E_HSM_PIN',
      'the HSM needs its PIN: set MOSAIK_HSM_PIN, or MOSAIK_HSM_PIN_FILE, or start on a terminal',
    )
  }
  return hsmByTool({ module, token, key, pin, environment: hsmEnvironment() })
}
