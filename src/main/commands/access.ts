import { z } from 'zod'
import { MosaikError } from '../../domain/errors.ts'
import type { Role } from '../../domain/roles.ts'
import type { VaultClient } from '../client.ts'
import { table, type Screen } from '../screen.ts'
import { parseScheme } from './policy.ts'

const organisationView = z.object({
  id: z.string(),
  name: z.string(),
  createdAt: z.string(),
  isProvider: z.boolean(),
  placementRule: z.string(),
  scheme: z.object({ k: z.number(), n: z.number(), t: z.number() }),
})
const organisationList = z.object({ organisations: z.array(organisationView) })
const tokenList = z.object({
  tokens: z.array(
    z.object({
      id: z.string(),
      role: z.string(),
      name: z.string(),
      createdAt: z.string(),
      revokedAt: z.string().nullable(),
    }),
  ),
})
const createdToken = z.object({ id: z.string(), token: z.string(), role: z.string(), organisation: z.string() })

export interface TokenOptions {
  readonly name: string
  /** Id or name. */
  readonly organisation?: string | undefined
}

/** `mosaik organisation add NAME` */
export async function addOrganisation(
  client: VaultClient,
  screen: Screen,
  name: string,
  options: { readonly scheme?: string; readonly placement?: string },
): Promise<void> {
  const made = organisationView.parse(
    await client.post('admin', '/organisations', {
      name,
      ...(options.scheme === undefined ? {} : { scheme: parseScheme(options.scheme) }),
      ...(options.placement === undefined ? {} : { placementRule: options.placement }),
    }),
  )
  screen.result(
    `${made.name} is ${made.id}\nNext: its recovery key, \`npx mosaik recovery-key\`; then a token, \`npx mosaik token add host --organisation ${made.id}\``,
    made,
  )
}

/** `mosaik organisation ls` */
export async function listOrganisations(client: VaultClient, screen: Screen): Promise<void> {
  const { organisations } = organisationList.parse(await client.get('admin', '/organisations'))
  const rows = organisations.map(({ id, name, createdAt, isProvider, scheme, placementRule }) => [
    ...[id, name, createdAt.slice(0, 16).replace('T', ' '), `${scheme.k},${scheme.n},${scheme.t}`, placementRule],
    isProvider ? 'provider' : '',
  ])
  screen.result(table(['organisation', 'name', 'since', 'scheme', 'placement', ''], rows), { organisations })
}

/** `mosaik token add ROLE` against a vault that runs: shown once. */
export async function addToken(client: VaultClient, screen: Screen, role: Role, options: TokenOptions): Promise<void> {
  const made = createdToken.parse(
    await client.post('admin', '/tokens', { role, name: options.name, ...(await named(client, options.organisation)) }),
  )
  // For `TOKEN="$(mosaik token add host)"` nothing but the token.
  screen.result(made.token, made)
}

/** `mosaik token ls` */
export async function listTokens(
  client: VaultClient,
  screen: Screen,
  options: Pick<TokenOptions, 'organisation'>,
): Promise<void> {
  const { organisation } = await named(client, options.organisation)
  const query = organisation === undefined ? '' : `?organisation=${encodeURIComponent(organisation)}`
  const { tokens } = tokenList.parse(await client.get('admin', `/tokens${query}`))
  const rows = tokens.map(({ id, role, name, createdAt, revokedAt }) => [
    ...[id, role, createdAt.slice(0, 16).replace('T', ' ')],
    ...[revokedAt === null ? 'valid' : `revoked ${revokedAt.slice(0, 16).replace('T', ' ')}`, name],
  ])
  screen.result(tokens.length === 0 ? 'no tokens' : table(['token', 'role', 'since', 'state', 'name'], rows), {
    tokens,
  })
}

/** `mosaik token revoke ID` */
export async function revokeToken(client: VaultClient, screen: Screen, id: string): Promise<void> {
  await client.delete('admin', `/tokens/${encodeURIComponent(id)}`)
  screen.result(`token ${id} is revoked`, { token: id, revoked: true })
}

/** The id of an organisation that was given by id or name; nothing when none was given: the token's own. */
async function named(client: VaultClient, which: string | undefined): Promise<{ readonly organisation?: string }> {
  if (which === undefined) return {}
  if (/^[0-9a-f]{32}$/.test(which)) return { organisation: which }
  const { organisations } = organisationList.parse(await client.get('admin', '/organisations'))
  const found = organisations.find(({ name }) => name.toLowerCase() === which.toLowerCase())
  if (found) return { organisation: found.id }
  throw new MosaikError(
    'E_ORGANISATION_UNKNOWN',
    `there is no organisation ${which}; \`mosaik organisation ls\` lists them`,
  )
}
