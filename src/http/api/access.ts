import { MosaikError } from '../../domain/errors.ts'
import type { Id } from '../../domain/ids.ts'
import type { AccessOperations } from '../../ports/access-operations.ts'
import type { Catalog } from '../../ports/catalog.ts'
import type { OrganisationRow } from '../../ports/catalog/access.ts'
import type { Clock } from '../../ports/system.ts'
import {
  auditList,
  auditQuery,
  createdToken,
  identity,
  organisationList,
  organisationRequest,
  organisationView,
  tokenList,
  tokenQuery,
  tokenRequest,
} from './access-schema.ts'
import type { Caller } from './authenticate.ts'
import { operation, type Operation } from './operation.ts'
import { idOf } from './parsed.ts'
import { isoTime } from './recording-view.ts'

/** What the operations of access need. */
export interface AccessOperationsOptions {
  readonly catalog: Pick<Catalog, 'installation' | 'tokens' | 'audit'>
  readonly access: AccessOperations
  readonly clock: Clock
  readonly isProvider: (organisation: Id) => Promise<boolean>
}

/** Who one is; organisations, their tokens, and what happened to their keys. */
export function accessOperations({ catalog, access, clock, isProvider }: AccessOperationsOptions): Operation[] {
  const forAdmins = { tag: 'access', roles: ['admin'] } as const

  /** The organisation that the caller means. One that is not the caller's does not exist, but for the provider's. */
  async function organisationOf(caller: Caller, wanted: Id | undefined): Promise<Id> {
    if (wanted === undefined || wanted === caller.organisation) return caller.organisation
    const isSeen = (await isProvider(caller.organisation)) && (await catalog.installation.organisation(wanted))
    if (!isSeen) throw new MosaikError('E_ORGANISATION_UNKNOWN', 'there is no such organisation')
    return wanted
  }

  return [
    operation(
      {
        ...{ id: 'whoami', method: 'get', path: '/whoami', tag: 'access' },
        summary: { en: 'Whose token this is', de: 'Wessen Token das ist' },
        roles: ['host', 'officer', 'operator', 'auditor', 'admin'],
        answer: { status: 200, says: { en: 'Role and organisation.', de: 'Rolle und Organisation.' }, json: identity },
      },
      async ({ caller: { token, name, role, organisation } }) => {
        const row = await catalog.installation.organisation(organisation)
        return { token, name, role, organisation: { id: organisation, name: row?.name ?? null } }
      },
    ),
    operation(
      {
        ...{ id: 'listAudit', method: 'get', path: '/audit', tag: 'access', roles: ['auditor'] },
        summary: { en: 'Which keys were used, when and what for', de: 'Welche Schlüssel wann und wozu benutzt wurden' },
        query: auditQuery,
        answer: { status: 200, says: { en: 'Newest first.', de: 'Die neuesten zuerst.' }, json: auditList },
      },
      async ({ caller, query: { limit } }) => {
        const entries = await catalog.audit.audit(caller.organisation, limit)
        return { entries: entries.map(({ atMs, ...entry }) => ({ at: isoTime(atMs), ...entry })) }
      },
    ),
    operation(
      {
        ...{ id: 'listOrganisations', method: 'get', path: '/organisations', ...forAdmins, isOfProvider: true },
        summary: { en: 'Lists the organisations', de: 'Listet die Organisationen' },
        answer: { status: 200, says: { en: 'The oldest first.', de: 'Die älteste zuerst.' }, json: organisationList },
      },
      async () => {
        const rows = await catalog.installation.organisations()
        return { organisations: rows.map((row, i) => viewOf(row, i === 0)) }
      },
    ),
    operation(
      {
        ...{ id: 'createOrganisation', method: 'post', path: '/organisations', ...forAdmins, isOfProvider: true },
        summary: {
          en: 'Makes an organisation with keys of its own',
          de: 'Macht eine Organisation mit eigenen Schlüsseln',
        },
        about: {
          en: 'Make tokens for it next, and have its recovery key shown: `npx mosaik recovery-key`.',
          de: 'Als Nächstes Token für sie machen und ihren Wiederherstellungsschlüssel zeigen lassen: `npx mosaik recovery-key`.',
        },
        problems: ['E_SCHEME_INVALID', 'E_CONFLICT', 'E_READ_ONLY'],
        body: organisationRequest,
        answer: { status: 201, says: { en: 'The organisation.', de: 'Die Organisation.' }, json: organisationView },
      },
      async ({ caller, body }) => {
        const own = await catalog.installation.organisation(caller.organisation)
        const id = await access.createOrganisation({
          name: body.name,
          scheme: body.scheme ?? own!.scheme,
          placementRule: body.placementRule ?? own!.placementRule,
        })
        return viewOf((await catalog.installation.organisation(id))!, false)
      },
    ),
    operation(
      {
        ...{ id: 'listTokens', method: 'get', path: '/tokens', ...forAdmins },
        summary: { en: 'Lists tokens, never as they are', de: 'Listet Token, nie sie selbst' },
        problems: ['E_ORGANISATION_UNKNOWN'],
        query: tokenQuery,
        answer: { status: 200, says: { en: 'Revoked ones too.', de: 'Auch widerrufene.' }, json: tokenList },
      },
      async ({ caller, query }) => {
        const rows = await catalog.tokens.tokens(await organisationOf(caller, query.organisation))
        return {
          tokens: rows.map(({ id, role, name, createdAtMs, revokedAtMs }) => ({
            ...{ id, role, name, createdAt: isoTime(createdAtMs) },
            revokedAt: revokedAtMs === null ? null : isoTime(revokedAtMs),
          })),
        }
      },
    ),
    operation(
      {
        ...{ id: 'createToken', method: 'post', path: '/tokens', ...forAdmins },
        summary: { en: 'Makes a token', de: 'Macht ein Token' },
        problems: ['E_ORGANISATION_UNKNOWN'],
        body: tokenRequest,
        answer: {
          status: 201,
          says: { en: 'The token, shown once.', de: 'Das Token, einmal gezeigt.' },
          json: createdToken,
        },
      },
      async ({ caller, body: { role, name, organisation: wanted } }) => {
        const organisation = await organisationOf(caller, wanted)
        return { ...(await access.issueToken({ organisation, role, name })), role, organisation }
      },
    ),
    operation(
      {
        ...{ id: 'revokeToken', method: 'delete', path: '/tokens/{id}', ...forAdmins },
        summary: { en: 'Ends a token now', de: 'Beendet ein Token sofort' },
        about: { en: 'May be repeated.', de: 'Darf wiederholt werden.' },
        problems: ['E_TOKEN_UNKNOWN'],
        answer: { status: 204, says: { en: 'It is revoked.', de: 'Es ist widerrufen.' } },
      },
      async ({ caller, params }) => {
        const unknown = () => new MosaikError('E_TOKEN_UNKNOWN', 'there is no such token')
        const id = idOf(params['id'], unknown)
        const row = await catalog.tokens.token(id)
        if (row === undefined) throw unknown()
        if (row.organisation !== caller.organisation && !(await isProvider(caller.organisation))) throw unknown()
        await catalog.tokens.revokeToken(id, clock.nowMs())
      },
    ),
  ]
}

function viewOf({ id, name, createdAtMs, scheme, placementRule }: OrganisationRow, isProvider: boolean) {
  return { id, name, createdAt: isoTime(createdAtMs), scheme, placementRule, isProvider }
}
