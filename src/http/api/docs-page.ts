import { Router } from 'express'
import { serveFile, type BuiltPage } from '../viewer/watch-page.ts'
import { setViewerHeaders } from '../headers.ts'

/** Nothing but our own files; no inline script or style, nothing that plays. */
const contentSecurityPolicy = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "connect-src 'self'",
  "form-action 'none'",
  "frame-ancestors 'none'",
  "base-uri 'none'",
].join('; ')

/**
 * `/api/docs`: the document for people, with a form to try each operation. Mount it at `/api`, before the API; a browser that asks for
 * `/api` or `/api/v1` is led there.
 *
 * @param publicUrl its path goes in front of where it is led.
 */
export function createDocsPage({ page, publicUrl }: { readonly page: BuiltPage; readonly publicUrl: string }): Router {
  const { pathname, protocol } = new URL(publicUrl)
  const address = `${pathname.replace(/\/+$/, '')}/api/docs`
  const router = Router({ caseSensitive: true, strict: true })
  router.use('/docs', (_request, response, next) => {
    setViewerHeaders(response, protocol === 'https:')
    response.setHeader('Content-Security-Policy', contentSecurityPolicy)
    next()
  })
  router.get('/docs', serveFile(page.html, 'text/html; charset=utf-8'))
  router.get('/docs/docs.js', serveFile(page.script, 'text/javascript; charset=utf-8'))
  router.get('/docs/docs.css', serveFile(page.style, 'text/css; charset=utf-8'))
  router.get(['/', '/docs/', '/v1', '/v1/'], (request, response, next) => {
    // a program that asks for data is told by the API that there is none
    if (request.path.startsWith('/v1') && request.accepts(['json', 'html']) !== 'html') return next()
    setViewerHeaders(response, protocol === 'https:')
    response.statusCode = 302
    response.setHeader('Location', address)
    response.end()
  })
  return router
}
