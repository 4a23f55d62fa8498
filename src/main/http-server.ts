import { existsSync, readFileSync } from 'node:fs'
import express from 'express'
import { MosaikError } from '../domain/errors.ts'
import type { Id } from '../domain/ids.ts'
import { createApi, setApiHeaders } from '../http/api/api.ts'
import { createDocsPage } from '../http/api/docs-page.ts'
import { createHealth } from '../http/api/health.ts'
import { problemHandler } from '../http/problem.ts'
import { createUploads } from '../http/uploads/uploads.ts'
import { createViewerRouter } from '../http/viewer/router.ts'
import type { BuiltPage, WatchPage } from '../http/viewer/watch-page.ts'
import type { Clock, Log, Random } from '../ports/system.ts'
import type { Config } from './config.ts'
import { openDoor, type Door } from './door.ts'
import type { Vault } from './vault.ts'

export interface HttpPorts {
  readonly vault: Vault
  readonly config: Config
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
}

export interface HttpServer {
  /** As clients on this machine reach it, without a slash at the end. */
  readonly url: string
  readonly publicUrl: string
  close(): Promise<void>
}

const buildFolder = new URL('../../build/', import.meta.url)

/** Opens the doors: API, uploads, viewer. @param open one that is listened on already. @throws E_CONFIG when the port is taken, E_SETUP when the pages were not built */
export async function startHttp(ports: HttpPorts, open?: Door): Promise<HttpServer> {
  const { vault, config, clock, random, log } = ports
  const door = open ?? (await openDoor(config))
  const { url } = door
  const publicUrl = (config.publicUrl ?? url).replace(/\/$/, '')
  const app = express()
  app.disable('x-powered-by')
  app.set('trust proxy', config.trustedProxies)
  const common = { vault, clock, random, log, publicUrl, ...vault, catalog: vault.catalog }
  app.use(createHealth({ check: () => vault.readiness() }))
  app.use('/api', createDocsPage({ page: readPage('docs'), publicUrl }))
  app.use('/api/v1/uploads', createUploads({ ...common, uploads: vault.catalog.uploads, tokens: vault.catalog.tokens }))
  app.use(
    '/api/v1',
    createApi({
      ...common,
      health: vault.health,
      linksChanged: (organisation: Id) => vault.upkeep.stateChanged(organisation),
    }),
  )
  app.use(
    createViewerRouter({
      ...{ links: vault.links, reader: vault.reader, recordings: vault.catalog.recordings },
      ...{ log, clock, rates: vault.rates, publicUrl, page: readWatchPage() },
    }),
  )
  app.use((_request, response) => {
    setApiHeaders(response)
    throw new MosaikError('E_ROUTE', 'there is nothing here')
  })
  app.use(problemHandler({ audience: 'member', log }))
  door.answerWith(app)
  return { url, publicUrl, close: () => door.close() }
}

function readPage(name: 'watch' | 'docs'): BuiltPage {
  const read = (file: string): Uint8Array => readBuilt(`${name}/${file}`)
  return { html: read('index.html'), script: read(`${name}.js`), style: read(`${name}.css`) }
}

function readWatchPage(): WatchPage {
  return { ...readPage('watch'), hls: readBuilt('watch/hls.js'), hlsLight: readBuilt('watch/hls-light.js') }
}

function readBuilt(file: string): Uint8Array {
  const place = new URL(file, buildFolder)
  if (!existsSync(place)) {
    throw new MosaikError('E_SETUP', 'the pages have not been built; run `npm start`, or `sh scripts/setup.sh run`')
  }
  return new Uint8Array(readFileSync(place))
}
