import { createHash } from 'node:crypto'
import { hostname } from 'node:os'
import { toHex, type Id } from '../domain/ids.ts'
import type { Role } from '../domain/roles.ts'
import type { TokenCatalog } from '../ports/catalog/access.ts'
import type { Clock, Random } from '../ports/system.ts'

/** A fresh bearer token of a role; only its hash is kept. */
export async function issueToken(
  ports: { readonly tokens: TokenCatalog; readonly clock: Clock; readonly random: Random },
  owner: { readonly organisation: Id; readonly role: Role; readonly name: string },
): Promise<{ id: Id; token: string }> {
  const { token, tokenSha256 } = drawToken(ports.random)
  const id = toHex(ports.random.bytes(16))
  await ports.tokens.addToken({
    ...owner,
    id,
    tokenSha256,
    createdAtMs: ports.clock.nowMs(),
    revokedAtMs: null,
  })
  return { id, token }
}

/**
 * The token of a role for clients on this machine. Its secret is a new one at each start, its id stays: an upload that was begun
 * before a restart can be finished after it.
 */
export async function renewLocalToken(
  ports: Parameters<typeof issueToken>[0],
  organisation: Id,
  role: Role,
): Promise<{ id: Id; token: string }> {
  const name = `this machine: ${hostname()}`
  const id = (await ports.tokens.tokens(organisation)).findLast((old) => old.name === name && old.role === role)?.id
  if (id === undefined) return await issueToken(ports, { organisation, role, name })
  const { token, tokenSha256 } = drawToken(ports.random)
  await ports.tokens.renewToken(id, tokenSha256)
  return { id, token }
}

function drawToken(random: Pick<Random, 'bytes'>) {
  const token = `mosaik-${Buffer.from(random.bytes(32)).toString('base64url')}`
  return { token, tokenSha256: new Uint8Array(createHash('sha256').update(token).digest()) }
}
