import { Router } from 'express'
import { drawPasscode } from '../../access/passcode.ts'
import type { Links } from '../../access/links.ts'
import { parseDuration } from '../../domain/duration.ts'
import { MosaikError } from '../../domain/errors.ts'
import type { Id } from '../../domain/ids.ts'
import type { Link } from '../../domain/link.ts'
import type { Catalog } from '../../ports/catalog.ts'
import type { Random } from '../../ports/system.ts'
import { sendJson } from '../headers.ts'
import { allow, callerOf } from './authenticate.ts'
import { linkRequest } from './links-schema.ts'
import { idOf, parsed } from './parsed.ts'
import { isoTime } from './recording-view.ts'
import { recordingOf } from './recordings.ts'

/** What the routes of links need. */
export interface LinkRoutesOptions {
  readonly catalog: Pick<Catalog, 'recordings' | 'links'>
  readonly links: Links
  readonly random: Random
  /** Where viewers reach the vault; goes in front of `/s#…`. */
  readonly publicUrl: string
  /** Told after a revocation, so that the organisation's state document follows. */
  readonly linksChanged: (organisation: Id) => void
}

/** `/recordings/:id/links` and `/links/:id`: made, listed, revoked by hosts. */
export function linkRoutes({ catalog, links, random, publicUrl, linksChanged }: LinkRoutesOptions): Router {
  const router = Router({ caseSensitive: true })
  const prefix = publicUrl.replace(/\/+$/, '')

  router.post('/recordings/:id/links', allow('host'), async (request, response) => {
    const { expiresIn, maxViews, allowDownload, ...asked } = parsed(linkRequest, request.body, 'the body')
    const { id: recording, organisation, state } = await recordingOf(request, catalog)
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
    sendJson(response, 201, {
      id: link.id,
      url: `${prefix}${urlPath}`,
      expiresAt: isoTime(link.expiresAtMs),
      ...(asked.passcode === true ? { passcode } : {}),
    })
  })

  router.get('/recordings/:id/links', allow('host'), async (request, response) => {
    const { id } = await recordingOf(request, catalog)
    sendJson(response, 200, { links: (await links.list(id)).map(linkItemOf) })
  })

  router.delete('/links/:id', allow('host'), async (request, response) => {
    const id = idOf(request.params['id'], unknownLink)
    const { organisation } = callerOf(request)
    const link = await catalog.links.link(id)
    if (link?.organisation !== organisation) throw unknownLink()
    await links.revoke(id)
    linksChanged(organisation)
    response.statusCode = 204
    response.end()
  })
  return router
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
