import { trustedSigner, type TrustedSigner } from '../crypto/keys.ts'
import type { Primitives } from '../crypto/primitives.ts'
import type { Id } from '../domain/ids.ts'
import { decodeVaultCard } from '../format/vault-card.ts'
import type { InstallationCatalog } from '../ports/catalog/access.ts'

/** Whose signatures count for an organisation: the signing pairs of its cards in the catalog, of all epochs. */
export async function signersOf(
  ports: { readonly installation: Pick<InstallationCatalog, 'cards'>; readonly primitives: Primitives },
  organisation: Id,
): Promise<TrustedSigner[]> {
  const cards = await ports.installation.cards(organisation)
  return cards.map((card) => trustedSigner(ports.primitives, organisation, decodeVaultCard(card).signing))
}
