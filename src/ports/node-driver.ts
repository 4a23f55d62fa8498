import { z } from 'zod'
import type { ObjectStore } from './object-store.ts'

/** A node that is a folder of a file system: a disk, a network mount. `path` is absolute; each node has a folder of its own. */
export const directorySettings = z.strictObject({
  driver: z.literal('directory'),
  path: z
    .string()
    .max(4096)
    .regex(/^(?:\/|[A-Za-z]:[\\/])[^\0]*$/, 'an absolute path is needed'),
})

/** A node that is a bucket of an S3 service. Holds the secret key: never log it, keep it sealed in the catalog. */
export const s3Settings = z.strictObject({
  driver: z.literal('s3'),
  /** Origin only, e.g. `https://s3.example.eu`: no path, no query, no user information. */
  endpoint: z.url({ protocol: /^https?$/ }).refine(isOrigin, 'only scheme, host and port belong into the endpoint'),
  region: z.string().regex(/^[A-Za-z0-9-]{1,64}$/, 'letters, digits and - are allowed'),
  bucket: z.string().regex(/^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/, 'not the name of a bucket'),
  /** Put before every key; ends with a slash. Absent: the bucket belongs to the node alone. */
  prefix: z
    .string()
    .max(128)
    .regex(/^(?:[a-z0-9][a-z0-9._-]*\/)+$/, 'a prefix is folders of a-z 0-9 . _ - and ends with /')
    .optional(),
  accessKeyId: z.string().min(1).max(256),
  secretAccessKey: z.string().min(1).max(256),
  /** `endpoint/bucket/key` (what most services outside AWS want) instead of `bucket.endpoint/key`. */
  forcePathStyle: z.boolean().default(true),
})

/** How a node is reached, as the operator gave it. Unknown fields are refused. */
export const nodeSettings = z.discriminatedUnion('driver', [directorySettings, s3Settings])

export type DirectorySettings = z.infer<typeof directorySettings>
export type S3Settings = z.infer<typeof s3Settings>
export type NodeSettings = z.infer<typeof nodeSettings>

/** What a probe found out about a folder. */
export const directoryCapabilities = z.strictObject({
  driver: z.literal('directory'),
  probedAtMs: z.int(),
  /** Free to an ordinary user when probed. */
  freeBytes: z.int(),
  /** The file system's device number: two nodes with the same one lie on the same disk. */
  device: z.string(),
})

/**
 * How a written byte is proved to have arrived: by a checksum which the node refuses when it is wrong (tried), or, where
 * it enforces none, by reading everything back. `signed-sha256` is the hash of the body that the request's signature covers.
 */
export const integrity = z.enum(['crc32', 'signed-sha256', 'content-md5', 'read-back'])
export type Integrity = z.infer<typeof integrity>

/** What a probe found out, by behaviour, about a bucket. */
export const s3Capabilities = z.strictObject({
  driver: z.literal('s3'),
  probedAtMs: z.int(),
  integrity,
  /** `on` also when the service does not say so but keeps what was overwritten. */
  versioning: z.enum(['off', 'suspended', 'on']),
  /** False when the service has no versions at all: then a deletion is confirmed by looking for the object. */
  listsVersions: z.boolean(),
  /** Locks can be put on objects; a default retention is refused at the probe. */
  objectLock: z.boolean(),
  /** What the service calls its region, where it says so. It may differ from the settings when it does not care. */
  reportedRegion: z.string().nullable(),
  /** The node's clock minus ours, to the second. */
  clockSkewMs: z.int(),
})

/** What a probe found out: plain JSON, kept in the catalog beside the settings and handed to every `open`. */
export const nodeCapabilities = z.discriminatedUnion('driver', [directoryCapabilities, s3Capabilities])

export type DirectoryCapabilities = z.infer<typeof directoryCapabilities>
export type S3Capabilities = z.infer<typeof s3Capabilities>
export type NodeCapabilities = z.infer<typeof nodeCapabilities>

export interface OpenOptions {
  /**
   * Only while a node is being registered: it has no marker yet. Otherwise a folder without its marker is taken for a
   * disk that is not mounted.
   */
  readonly registration?: boolean
  /** Name of the node in errors, e.g. its id. Absent: where it lies. */
  readonly label?: string
}

/** Reaches nodes of every kind. */
export interface NodeDriver {
  /**
   * Finds out by trying what the node really does: round trip, ranges, order of lists, multipart, which checksum it
   * enforces, versions, locks, clock. Leaves nothing behind.
   * @throws E_NODE_UNSUITABLE with what has to be changed; E_NODE_UNREACHABLE, E_NODE_REFUSED, E_NODE_FULL.
   */
  probe(settings: NodeSettings, signal: AbortSignal): Promise<NodeCapabilities>

  /**
   * Opens the node as it was probed.
   * @throws E_NODE_UNREACHABLE a folder or its marker is not there; E_CONFIG when settings and capabilities are of
   * different drivers.
   */
  open(settings: NodeSettings, capabilities: NodeCapabilities, options?: OpenOptions): Promise<ObjectStore>
}

/** Where a node lies, for people and for the organisation's state: without secrets. */
export function nodeLocation(settings: NodeSettings): string {
  if (settings.driver === 'directory') return settings.path
  return `${settings.endpoint.replace(/\/$/, '')}/${settings.bucket}/${settings.prefix ?? ''}`
}

function isOrigin(endpoint: string): boolean {
  if (!URL.canParse(endpoint)) return false
  const { username, password, pathname, search, hash } = new URL(endpoint)
  return username === '' && password === '' && pathname === '/' && search === '' && hash === ''
}
