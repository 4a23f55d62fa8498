import { createHash } from 'node:crypto'
import { toHex, type Id } from '../domain/ids.ts'
import type { Role } from '../domain/roles.ts'
import type { TokenCatalog } from '../ports/catalog/access.ts'
import type { Clock, Random } from '../ports/system.ts'

/** A fresh bearer token of a role; only its hash is kept. */
export async function issueToken(
  ports: { readonly tokens: TokenCatalog; readonly clock: Clock; readonly random: Random },
  owner: { readonly organisation: Id; readonly role: Role; readonly name: string },
): Promise<{ id: Id; token: string }> {
  const token = `mosaik-${Buffer.from(ports.random.bytes(32)).toString('base64url')}`
  const id = toHex(ports.random.bytes(16))
  await ports.tokens.addToken({
    ...owner,
    id,
    tokenSha256: new Uint8Array(createHash('sha256').update(token).digest()),
    createdAtMs: ports.clock.nowMs(),
    revokedAtMs: null,
  })
  return { id, token }
}
