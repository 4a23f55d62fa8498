import type { PublicKeyring } from '../ports/keyring.ts'
import type { RepairPorts } from '../upkeep/blind/repair.ts'

/** What repair signs manifest shares with: it is handed the signing of shares, and no keyring. */
export function shareSigner(keyring: PublicKeyring): RepairPorts['signer'] {
  return async (organisation) => {
    const { epoch, signing } = await keyring.publicKeys(organisation)
    return { keys: signing, sign: (message) => keyring.sign(organisation, epoch, 'mosaik/v1/share', message) }
  }
}
