import type { ViewerSession } from '../../access/links.ts'

/** Name of the viewer's cookie. One a grant: its path keeps them apart. */
export const SESSION_COOKIE = 'mosaik_view'

/**
 * The Set-Cookie value of a session: unreadable for scripts, never sent from other sites, only to the paths of its own grant.
 * No Max-Age: the session's end slides on the server.
 *
 * @param secure false only where the vault is reached by plain http (localhost): a browser would drop a Secure cookie there.
 */
export function sessionCookie(session: ViewerSession, basePath: string, secure: boolean): string {
  const parts = [
    `${SESSION_COOKIE}=${session.cookieSecret}`,
    `Path=${basePath}/s/${session.grant}`,
    'HttpOnly',
    'SameSite=Strict',
  ]
  if (secure) parts.push('Secure')
  return parts.join('; ')
}

/** The secret in a Cookie header, or `''`: which no session has. */
export function cookieSecretOf(header: string | undefined): string {
  for (const pair of header?.split(';') ?? []) {
    const at = pair.indexOf('=')
    if (at > 0 && pair.slice(0, at).trim() === SESSION_COOKIE) return pair.slice(at + 1).trim()
  }
  return ''
}
