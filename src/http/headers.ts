import type { Response } from 'express'

/**
 * Content Security Policy of everything under `/s`: only our own files, no inline script or style. Two sources more than
 * the bare minimum: images of our own (the poster), and `blob:` for media, which is how a Media Source is attached to a video
 * element. The player runs without a worker, so there is no `worker-src`.
 */
export const viewerContentSecurityPolicy = [
  "default-src 'none'",
  "media-src 'self' blob:",
  "img-src 'self'",
  "script-src 'self'",
  "style-src 'self'",
  "connect-src 'self'",
  "form-action 'self'",
  "frame-ancestors 'none'",
  "base-uri 'none'",
].join('; ')

/** Sets the headers that every answer to a viewer carries. */
export function setViewerHeaders(response: Response, secure: boolean): void {
  response.removeHeader('X-Powered-By')
  response.setHeader('Cache-Control', 'private, no-store')
  response.setHeader('Referrer-Policy', 'no-referrer')
  response.setHeader('Content-Security-Policy', viewerContentSecurityPolicy)
  response.setHeader('X-Content-Type-Options', 'nosniff')
  response.setHeader('X-Frame-Options', 'DENY')
  response.setHeader('Cross-Origin-Resource-Policy', 'same-origin')
  response.setHeader('Cross-Origin-Opener-Policy', 'same-origin')
  response.setHeader('Permissions-Policy', 'camera=(), microphone=(), geolocation=(), payment=(), usb=()')
  response.setHeader('X-Robots-Tag', 'noindex, nofollow, noarchive')
  if (secure) response.setHeader('Strict-Transport-Security', 'max-age=31536000')
}

/** Sends a text at once. Never through `response.send`, which would add a hash of the content as entity tag. */
export function sendText(response: Response, status: number, mediaType: string, text: string): void {
  const body = Buffer.from(text, 'utf8')
  response.statusCode = status
  response.setHeader('Content-Type', mediaType)
  response.setHeader('Content-Length', body.length)
  response.end(response.req.method === 'HEAD' ? undefined : body)
}

/** Sends a value as JSON, without an entity tag. */
export function sendJson(response: Response, status: number, value: unknown): void {
  sendText(response, status, 'application/json; charset=utf-8', JSON.stringify(value))
}

/** Longest file name that is suggested to a browser, in characters. */
const NAME_MAX_CHARS = 150

/**
 * `Content-Disposition: attachment` (RFC 6266) with a name no file system stumbles over: path parts, control characters and
 * characters of direction are dropped; a plain form for old clients and the UTF-8 form (RFC 8187) beside it.
 */
export function attachment(name: string): string {
  const clean = safeFileName(name)
  const plain = clean
    .normalize('NFKD')
    .replace(/[^\x20-\x7e]/g, '')
    .replace(/["\\%]/g, '_')
    .trim()
  const encoded = encodeURIComponent(clean).replace(/['()*]/g, (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`)
  return `attachment; filename="${/[^.]/.test(plain) ? plain : 'recording'}"; filename*=UTF-8''${encoded}`
}

/** A file name without path, control or direction characters; "recording" when nothing is left. */
export function safeFileName(name: string): string {
  const last = name.toWellFormed().split(/[/\\]/).at(-1) ?? ''
  const clean = last
    .replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, '')
    .replace(/[<>:"|?*]/g, '_')
    .replace(/^[.\s]+|[.\s]+$/g, '')
  const short = Array.from(clean)
  if (short.length === 0) return 'recording'
  if (short.length <= NAME_MAX_CHARS) return clean
  const extension = /\.[A-Za-z0-9]{1,8}$/.exec(clean)?.[0] ?? ''
  return short.slice(0, NAME_MAX_CHARS - extension.length).join('') + extension
}
