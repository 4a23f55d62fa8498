import { MosaikError } from '../domain/errors.ts'
import type { Id } from '../domain/ids.ts'
import type { AccessOperations } from '../ports/access-operations.ts'
import { createOrganisation, spreadCards, type OrganisationPorts } from './organisations.ts'
import { issueToken } from './tokens.ts'

export interface AccessPorts extends OrganisationPorts {
  /** The catalog is older than the nodes: nothing is made. */
  readonly isReadOnly: () => boolean
  /** Its state document follows. */
  readonly organisationAdded: (organisation: Id) => void
}

/** Makes organisations and tokens while the vault runs. */
export function createAccessOperations(ports: AccessPorts): AccessOperations {
  const { catalog, pool, log, isReadOnly, organisationAdded } = ports

  /** Upkeep brings the cards that a node does not take now. */
  async function spread(): Promise<void> {
    for (const node of await pool.nodes()) if (pool.isHealthy(node.id)) await spreadCards(ports, node.id)
  }

  return {
    async createOrganisation(request) {
      if (isReadOnly()) throw new MosaikError('E_READ_ONLY', 'the catalog is older than what lies on the nodes')
      const present = await catalog.installation.organisations()
      if (present.some(({ name }) => name.toLowerCase() === request.name.toLowerCase())) {
        throw new MosaikError('E_CONFLICT', `there is an organisation named ${request.name} already`)
      }
      const organisation = await createOrganisation(ports, request)
      log.info('organisation.created', { organisation })
      organisationAdded(organisation)
      spread().catch(() => log.warn('cards.spread-failed', { organisation }))
      return organisation
    },

    async issueToken(owner) {
      const issued = await issueToken({ ...ports, tokens: catalog.tokens }, owner)
      log.info('token.issued', { token: issued.id, organisation: owner.organisation, role: owner.role })
      return issued
    },
  }
}
