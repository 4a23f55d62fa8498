import { z } from 'zod'
import type { VaultClient } from '../client.ts'
import { table, type Screen } from '../screen.ts'

const createdLink = z.object({ id: z.string(), url: z.string(), expiresAt: z.string() })
const linkList = z.object({
  links: z.array(
    z.object({
      id: z.string(),
      expiresAt: z.string(),
      revokedAt: z.string().nullable(),
      viewsCount: z.number(),
      maxViews: z.number().nullable(),
      allowDownload: z.boolean(),
    }),
  ),
})

export interface LinkOptions {
  readonly expires?: string | undefined
  readonly maxViews?: number | undefined
  readonly download: boolean
}

/** Makes a signed link; its URL is shown once and kept nowhere. */
export async function requestLink(
  client: VaultClient,
  recording: string,
  options: LinkOptions,
): Promise<z.infer<typeof createdLink>> {
  const body = {
    ...(options.expires === undefined ? {} : { expiresIn: options.expires }),
    ...(options.maxViews === undefined ? {} : { maxViews: options.maxViews }),
    allowDownload: options.download,
  }
  return createdLink.parse(await client.post('host', `/recordings/${encodeURIComponent(recording)}/links`, body))
}

/** `mosaik link RECORDING` */
export async function createLink(
  client: VaultClient,
  screen: Screen,
  recording: string,
  options: LinkOptions,
): Promise<void> {
  const link = await requestLink(client, recording, options)
  screen.result(`${link.url}\nlink ${link.id}, until ${link.expiresAt}; \`mosaik revoke ${link.id}\` ends it`, link)
}

/** `mosaik links RECORDING` */
export async function listLinks(client: VaultClient, screen: Screen, recording: string): Promise<void> {
  const { links } = linkList.parse(await client.get('host', `/recordings/${encodeURIComponent(recording)}/links`))
  const rows = links.map((link) => [
    link.id,
    link.revokedAt === null ? `until ${link.expiresAt}` : `revoked ${link.revokedAt}`,
    link.maxViews === null ? String(link.viewsCount) : `${link.viewsCount} of ${link.maxViews}`,
    link.allowDownload ? 'play, download' : 'play',
  ])
  screen.result(links.length === 0 ? 'no links' : table(['link', 'valid', 'views', 'allows'], rows), { links })
}

/** `mosaik revoke LINK` */
export async function revokeLink(client: VaultClient, screen: Screen, link: string): Promise<void> {
  await client.delete('host', `/links/${encodeURIComponent(link)}`)
  screen.result(`link ${link} is revoked; running players stop within five seconds`, { link, revoked: true })
}
