import type { Id } from '../../domain/ids.ts'
import { MosaikError } from '../../domain/errors.ts'
import type { EpochSecrets, KeyringSecrets, OrganisationSecrets } from './secrets.ts'

/** The epoch in force. */
export function epochInForce({ epochs }: OrganisationSecrets): EpochSecrets {
  return epochs.reduce((last, one) => (one.epoch > last.epoch ? one : last))
}

/** @throws E_KEYRING_KEY_UNKNOWN */
export function organisationSecrets(secrets: KeyringSecrets, organisation: Id): OrganisationSecrets {
  const found = secrets.organisations.get(organisation)
  if (found === undefined) throw unknownKey('this keyring has no keys of the organisation', { organisation })
  return found
}

/** @throws E_CONFLICT when the organisation has keys already. */
export function withNewOrganisation(
  secrets: KeyringSecrets,
  organisation: Id,
  fresh: OrganisationSecrets,
): KeyringSecrets {
  if (secrets.organisations.has(organisation)) {
    throw new MosaikError('E_CONFLICT', 'the organisation has keys already', { organisation })
  }
  return withOrganisation(secrets, organisation, fresh)
}

/** The recovery seed is written down by now: its copy goes. */
export function withoutPendingRecovery(secrets: KeyringSecrets, organisation: Id): KeyringSecrets {
  const before = organisationSecrets(secrets, organisation)
  if (before.pendingRecoverySeed === null) return secrets
  return withOrganisation(secrets, organisation, { ...before, pendingRecoverySeed: null })
}

/** With the keys of the epoch that is to come, unless there are some. @param fresh its two seeds. */
export function withNextEpoch(
  secrets: KeyringSecrets,
  organisation: Id,
  fresh: Omit<EpochSecrets, 'epoch'>,
): KeyringSecrets {
  const before = organisationSecrets(secrets, organisation)
  if (before.nextEpoch !== undefined) return secrets
  const nextEpoch = { epoch: epochInForce(before).epoch + 1, ...fresh }
  return withOrganisation(secrets, organisation, { ...before, nextEpoch })
}

/** The prepared epoch comes into force; the seeds of the one before stay. @throws E_KEYRING_KEY_UNKNOWN when it is not prepared. */
export function withEpochBegun(secrets: KeyringSecrets, organisation: Id, epoch: number): KeyringSecrets {
  const before = organisationSecrets(secrets, organisation)
  if (epochInForce(before).epoch === epoch) return secrets
  const { nextEpoch, ...rest } = before
  if (nextEpoch?.epoch !== epoch) {
    throw unknownKey(`epoch ${epoch} is not prepared in this keyring`, { organisation, epoch })
  }
  return withOrganisation(secrets, organisation, { ...rest, epochs: [...before.epochs, nextEpoch] })
}

/** Without the seeds of the epochs before `epoch`, and without the recovery seed that a rebuild left; the epoch in force stays. */
export function withoutOldKeys(secrets: KeyringSecrets, organisation: Id, epoch: number): KeyringSecrets {
  const { rebuildSeed, ...before } = organisationSecrets(secrets, organisation)
  const inForce = epochInForce(before)
  const epochs = before.epochs.filter((one) => one.epoch >= epoch || one === inForce)
  if (epochs.length === before.epochs.length && rebuildSeed === undefined) return secrets
  return withOrganisation(secrets, organisation, { ...before, epochs })
}

function withOrganisation(secrets: KeyringSecrets, organisation: Id, one: OrganisationSecrets): KeyringSecrets {
  return { ...secrets, organisations: new Map(secrets.organisations).set(organisation, one) }
}

export function unknownKey(message: string, fields: Readonly<Record<string, string | number>>): MosaikError {
  return new MosaikError('E_KEYRING_KEY_UNKNOWN', message, fields)
}
