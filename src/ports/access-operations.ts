import type { Scheme } from '../domain/dispersal.ts'
import type { Id } from '../domain/ids.ts'
import type { PlacementRule } from '../domain/placement.ts'
import type { Role } from '../domain/roles.ts'

/** What administrators do with organisations and tokens while the vault runs. */
export interface AccessOperations {
  /**
   * Keys, first vault card and row of a new organisation; its card and state follow onto the nodes by themselves.
   * @throws E_SCHEME_INVALID, E_CONFLICT when the name is taken, E_READ_ONLY
   */
  createOrganisation(request: {
    readonly name: string
    readonly scheme: Scheme
    readonly placementRule: PlacementRule
  }): Promise<Id>
  /** A fresh token; only its hash is kept. */
  issueToken(owner: {
    readonly organisation: Id
    readonly role: Role
    readonly name: string
  }): Promise<{ readonly id: Id; readonly token: string }>
}
