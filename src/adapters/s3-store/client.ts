import { Agent as HttpAgent } from 'node:http'
import { Agent as HttpsAgent } from 'node:https'
import { S3Client } from '@aws-sdk/client-s3'
import { NodeHttpHandler } from '@smithy/node-http-handler'
import type { S3Settings } from '../../ports/node-driver.ts'

/** How long a node may take. All in milliseconds but the rate. */
export interface S3Limits {
  /** For the connection, TLS included. */
  readonly connectMs: number
  /** Without a byte in either direction. */
  readonly idleMs: number
  /** A request as a whole has 2 · idleMs and the time its body takes at this rate: a node must not drip for ever. */
  readonly minBytesPerSecond: number
  /** Tries of a call that may be repeated, the first one included. */
  readonly attempts: number
  /** Back-off before the second try; doubled, with jitter, before each further one. */
  readonly backOffMs: number
  /** Keys of one page of a listing, at most 1000. */
  readonly pageSize: number
}

export const DEFAULT_LIMITS: S3Limits = {
  connectMs: 5_000,
  idleMs: 20_000,
  minBytesPerSecond: 32 * 1024,
  attempts: 4,
  backOffMs: 200,
  pageSize: 1000,
}

/** Requests in flight to one node; more wait in the agent. */
const MAX_SOCKETS = 64

/** An SDK client together with the sockets it keeps. */
export interface NodeClient {
  readonly s3: S3Client
  /** The node's clock in the latest answer, milliseconds since 1970, with a resolution of a second. */
  serverTimeMs(): number | undefined
  close(): void
}

/**
 * The client with the settings that old and strict services need, too. Nothing comes from the environment or from the
 * user's AWS configuration. It does not retry: that is `caller.ts`.
 */
export function createNodeClient(settings: S3Settings, limits: S3Limits): NodeClient {
  const agentOptions = { keepAlive: true, noDelay: true, maxSockets: MAX_SOCKETS, scheduling: 'lifo' } as const
  const httpAgent = new HttpAgent(agentOptions)
  const httpsAgent = new HttpsAgent(agentOptions)
  const s3 = new S3Client({
    endpoint: settings.endpoint,
    region: settings.region,
    forcePathStyle: settings.forcePathStyle,
    credentials: { accessKeyId: settings.accessKeyId, secretAccessKey: settings.secretAccessKey },
    maxAttempts: 1,
    // Otherwise uploads carry a CRC32 that many services do not check, and streams become aws-chunked, which they refuse.
    requestChecksumCalculation: 'WHEN_REQUIRED',
    responseChecksumValidation: 'WHEN_REQUIRED',
    // The body would wait up to six seconds for a "100 Continue" that not every service sends.
    expectContinueHeader: false,
    followRegionRedirects: false,
    useFipsEndpoint: false,
    useDualstackEndpoint: false,
    useArnRegion: false,
    disableMultiregionAccessPoints: true,
    disableS3ExpressSessionAuth: true,
    requestHandler: new NodeHttpHandler({
      httpAgent,
      httpsAgent,
      connectionTimeout: limits.connectMs,
      socketTimeout: limits.idleMs,
    }),
  })
  let latest: number | undefined
  adaptRequests(s3, settings.endpoint.startsWith('https:'))
  watchAnswers(s3, (date) => (latest = date))
  return {
    s3,
    serverTimeMs: () => latest,
    close: () => {
      s3.destroy()
      httpAgent.destroy()
      httpsAgent.destroy()
    },
  }
}

/** What `putBytes` and its kind give besides what S3 knows (`PartChecksum`). */
interface Hashed {
  readonly contentSha256?: string
}

interface Headed {
  readonly method?: string
  readonly headers: Record<string, string>
  readonly body?: unknown
}

function adaptRequests(s3: S3Client, encrypted: boolean): void {
  s3.middlewareStack.add(
    (next) => (args) => {
      const { method, headers, body } = args.request as Headed
      const { contentSha256 } = args.input as Hashed
      // Swift, deleting the newest version, waits for a body when there is no length.
      if (method === 'DELETE' && body === undefined) headers['content-length'] ??= '0'
      // The signature covers this hash, and the node refuses what has another.
      if (contentSha256 !== undefined) headers['x-amz-content-sha256'] = contentSha256
      // Else, under TLS, it need not cover the body a third time: TLS does, and so does the checksum, whose header is signed.
      else if (encrypted && method === 'PUT') headers['x-amz-content-sha256'] = 'UNSIGNED-PAYLOAD'
      return next(args)
    },
    { step: 'build', priority: 'low', name: 'mosaikAdaptRequests' },
  )
}

function watchAnswers(s3: S3Client, seen: (dateMs: number) => void): void {
  s3.middlewareStack.add(
    (next) => async (args) => {
      const result = await next(args)
      const { headers } = result.response as Headed
      const dateMs = Date.parse(headers['date'] ?? '')
      if (!Number.isNaN(dateMs)) seen(dateMs)
      return result
    },
    // Next to the handler, below the deserialiser: it sees answers that become errors, too.
    { step: 'deserialize', priority: 'low', name: 'mosaikWatchAnswers' },
  )
}
