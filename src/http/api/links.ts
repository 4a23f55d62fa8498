import { drawPasscode } from '../../access/passcode.ts'
import type { Links } from '../../access/links.ts'
import { parseDuration } from '../../domain/duration.ts'
import { MosaikError } from '../../domain/errors.ts'
import type { Id } from '../../domain/ids.ts'
import type { Link } from '../../domain/link.ts'
import type { Catalog } from '../../ports/catalog.ts'
import type { Random } from '../../ports/system.ts'
import { createdLink, linkList, linkRequest } from './links-schema.ts'
import { operation, type Operation } from './operation.ts'
import { idOf } from './parsed.ts'
import { isoTime } from './recording-view.ts'
import { recordingOf } from './recordings.ts'

/** What the operations of links need. */
export interface LinkOperationsOptions {
  readonly catalog: Pick<Catalog, 'recordings' | 'links'>
  readonly links: Links
  readonly random: Random
  /** Where viewers reach the vault; goes in front of `/s#…`. */
  readonly publicUrl: string
  /** Told after a revocation, so that the organisation's state document follows. */
  readonly linksChanged: (organisation: Id) => void
}

/** `/recordings/:id/links` and `/links/:id`: made, listed, revoked by hosts. */
export function linkOperations({
  catalog,
  links,
  random,
  publicUrl,
  linksChanged,
}: LinkOperationsOptions): Operation[] {
  const prefix = publicUrl.replace(/\/+$/, '')
  return [
    operation(
      {
        ...{ id: 'createLink', method: 'post', path: '/recordings/{id}/links', tag: 'links' },
        summary: { en: 'Makes a link for viewers', de: 'Macht einen Link für Zuschauer' },
        ...{ roles: ['host'], problems: ['E_RECORDING_UNKNOWN', 'E_CONFLICT'] },
        body: linkRequest.default({}),
        answer: {
          status: 201,
          says: { en: 'The link, shown once.', de: 'Der Link, einmal gezeigt.' },
          json: createdLink,
        },
      },
      async (call) => {
        const { expiresIn, maxViews, allowDownload, ...asked } = call.body
        const { id: recording, organisation, state } = await recordingOf(call, catalog)
        if (state === 'failed') {
          throw new MosaikError(
            'E_CONFLICT',
            'this recording was never stored, so a link would lead nowhere; retry it first',
          )
        }
        const ttlMs = typeof expiresIn === 'string' ? parseDuration(expiresIn, 'expiresIn') : expiresIn
        const passcode = asked.passcode === true ? drawPasscode(random) : asked.passcode
        const terms = { ttlMs, maxViews, allowDownload, passcode }
        const { link, urlPath } = await links.create({ organisation, recording }, terms)
        return {
          id: link.id,
          url: `${prefix}${urlPath}`,
          expiresAt: isoTime(link.expiresAtMs),
          ...(asked.passcode === true ? { passcode } : {}),
        }
      },
    ),
    operation(
      {
        ...{ id: 'listLinks', method: 'get', path: '/recordings/{id}/links', tag: 'links' },
        summary: {
          en: 'Lists the links of a recording, with views',
          de: 'Listet die Links einer Aufzeichnung, mit Aufrufen',
        },
        ...{ roles: ['host'], problems: ['E_RECORDING_UNKNOWN'] },
        answer: {
          status: 200,
          says: { en: 'The links, without their tokens.', de: 'Die Links, ohne ihre Token.' },
          json: linkList,
        },
      },
      async (call) => {
        const { id } = await recordingOf(call, catalog)
        return { links: (await links.list(id)).map(linkItemOf) }
      },
    ),
    operation(
      {
        ...{ id: 'revokeLink', method: 'delete', path: '/links/{id}', tag: 'links' },
        summary: { en: 'Ends a link now', de: 'Beendet einen Link sofort' },
        about: {
          en: 'Running players stop within five seconds. May be repeated.',
          de: 'Laufende Wiedergaben enden binnen fünf Sekunden. Darf wiederholt werden.',
        },
        ...{ roles: ['host'], problems: ['E_LINK_INVALID'] },
        answer: { status: 204, says: { en: 'It is revoked.', de: 'Er ist widerrufen.' } },
      },
      async ({ caller: { organisation }, params }) => {
        const id = idOf(params['id'], unknownLink)
        const link = await catalog.links.link(id)
        if (link?.organisation !== organisation) throw unknownLink()
        await links.revoke(id)
        linksChanged(organisation)
      },
    ),
  ]
}

function unknownLink(): MosaikError {
  return new MosaikError('E_LINK_INVALID', 'there is no such link')
}

function linkItemOf(link: Link) {
  return {
    id: link.id,
    createdAt: isoTime(link.createdAtMs),
    expiresAt: isoTime(link.expiresAtMs),
    revokedAt: link.revokedAtMs === null ? null : isoTime(link.revokedAtMs),
    viewsCount: link.viewsCount,
    maxViews: link.maxViews,
    allowDownload: link.allowDownload,
    hasPasscode: link.hasPasscode,
  }
}
