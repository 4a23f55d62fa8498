import type { Id } from '../domain/ids.ts'

/**
 * Wraps what the catalog has to keep and must not show: verify keys (subject: the attempt) and node credentials
 * (subject: the node). Lets a worker check blocks and reach nodes; opens no document.
 */
export interface AtRestVault {
  /** Encrypts `secret` for the catalog; `subject` is bound as additional data. */
  wrapAtRest(subject: Id, secret: Uint8Array): Promise<Uint8Array>
  /** @throws E_KEYRING_KEY_UNKNOWN when it was wrapped by another keyring or for another subject. */
  unwrapAtRest(subject: Id, wrapped: Uint8Array): Promise<Uint8Array>
}
