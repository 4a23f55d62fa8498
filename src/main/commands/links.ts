import { z } from 'zod'
import type { VaultClient } from '../client.ts'
import { MosaikError } from '../../domain/errors.ts'
import { table, type Screen } from '../screen.ts'
import { askHidden } from '../terminal.ts'

const createdLink = z.object({
  id: z.string(),
  url: z.string(),
  expiresAt: z.string(),
  passcode: z.string().optional(),
})
const linkList = z.object({
  links: z.array(
    z.object({
      id: z.string(),
      expiresAt: z.string(),
      revokedAt: z.string().nullable(),
      viewsCount: z.number(),
      maxViews: z.number().nullable(),
      allowDownload: z.boolean(),
      hasPasscode: z.boolean(),
    }),
  ),
})

export interface LinkOptions {
  readonly expires?: string | undefined
  readonly maxViews?: number | undefined
  readonly download: boolean
  /** A text, or true: the vault draws one. */
  readonly passcode?: string | true | undefined
}

/**
 * The passcode of a new link: from the environment, else from the terminal, asked for twice. Never from the command line, where
 * everybody on the machine sees it.
 *
 * @throws E_INPUT without a terminal, or when the two differ
 */
export async function askLinkPasscode(given: string | undefined): Promise<string> {
  if (given !== undefined) return given
  const typed = await askHidden('Passcode of the link (6 characters or more): ')
  if (typed === undefined) {
    throw new MosaikError(
      'E_INPUT',
      'there is no terminal to ask for the passcode on; set MOSAIK_LINK_PASSCODE, or let one be drawn with --draw-passcode',
    )
  }
  if ((await askHidden('Once more: ')) !== typed) {
    throw new MosaikError('E_INPUT', 'the two passcodes differ; no link was made')
  }
  return typed
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
    ...(options.passcode === undefined ? {} : { passcode: options.passcode }),
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
  const passcode =
    link.passcode === undefined
      ? ''
      : `\npasscode ${link.passcode} (shown this once; send it another way than the link)`
  screen.result(
    `${link.url}${passcode}\nlink ${link.id}, until ${link.expiresAt}; \`mosaik revoke ${link.id}\` ends it`,
    link,
  )
}

/** `mosaik links RECORDING` */
export async function listLinks(client: VaultClient, screen: Screen, recording: string): Promise<void> {
  const { links } = linkList.parse(await client.get('host', `/recordings/${encodeURIComponent(recording)}/links`))
  const rows = links.map((link) => [
    link.id,
    link.revokedAt === null ? `until ${link.expiresAt}` : `revoked ${link.revokedAt}`,
    link.maxViews === null ? String(link.viewsCount) : `${link.viewsCount} of ${link.maxViews}`,
    link.allowDownload ? 'play, download' : 'play',
    link.hasPasscode ? 'yes' : 'no',
  ])
  screen.result(links.length === 0 ? 'no links' : table(['link', 'valid', 'views', 'allows', 'passcode'], rows), {
    links,
  })
}

/** `mosaik revoke LINK` */
export async function revokeLink(client: VaultClient, screen: Screen, link: string): Promise<void> {
  await client.delete('host', `/links/${encodeURIComponent(link)}`)
  screen.result(`link ${link} is revoked; running players stop within five seconds`, { link, revoked: true })
}
