import { readFileSync } from 'node:fs'
import { cpus } from 'node:os'
import { resolve } from 'node:path'
import { z } from 'zod'
import { MosaikError } from '../domain/errors.ts'
import { paddings } from '../domain/padding.ts'

/**
 * Settings of the vault, from (strongest first) command-line flags, environment (`MOSAIK_…`), a JSON file named by
 * `MOSAIK_CONFIG`, and the defaults of the embedded form. Checked once, at start; docs/OPERATIONS.md lists them.
 */
const settings = z.strictObject({
  /** Folder of everything that the embedded form keeps: catalog, Redis, keyring, spool, directory nodes. */
  data: z.string().min(1).default('./data'),
  host: z.string().min(1).default('127.0.0.1'),
  /** 0 takes a free port. */
  port: z.coerce.number().int().min(0).max(65535).default(8420),
  /** What viewers see in front of `/s`; by default http://host:port. */
  publicUrl: z.url({ protocol: /^https?$/ }).optional(),
  /** PostgreSQL; SQLite in the data folder without. */
  databaseUrl: z.string().startsWith('postgres').optional(),
  /** Redis; a child process in the data folder without. */
  redisUrl: z.string().startsWith('redis').optional(),
  passphraseFile: z.string().min(1).optional(),
  /** An HSM that opens the keyring: its PKCS#11 module, and labels of token and key. */
  hsmModule: z.string().min(1).optional(),
  hsmToken: z.string().min(1).optional(),
  hsmKey: z.string().min(1).default('mosaik'),
  hsmPinFile: z.string().min(1).optional(),
  /** Folder whose finished recordings are deposited. */
  watch: z.string().min(1).optional(),
  watchStableSeconds: z.coerce.number().min(0).max(86_400).default(60),
  watchDeleteAfterReceipt: z.stringbool().or(z.boolean()).default(false),
  logLevel: z.enum(['info', 'warn', 'error', 'silent']).default('info'),
  /** Log file; mosaik.log in the data folder without. */
  logFile: z.string().min(1).optional(),
  /** Threads of the bulk engine. */
  threads: z.coerce.number().int().min(1).max(64).default(Math.min(8, cpus().length)),
  /** Address and port of a listener of its own for /metrics, /healthz and /readyz; none without. Port 0 takes a free one. */
  metrics: z
    .string()
    .regex(/^.+:\d{1,5}$/, 'write address:port, for example 127.0.0.1:9464')
    .optional(),
  /** Addresses behind this many proxies are believed (`X-Forwarded-For`). */
  trustedProxies: z.coerce.number().int().min(0).max(10).default(0),
  /** How ffmpeg is confined: bubblewrap where it works, or demanded. */
  confinement: z.enum(['auto', 'bubblewrap', 'loopback']).default('auto'),
  /** A device whose bytes are mixed into the keys of random rows, for example a hardware generator. */
  entropyDevice: z.string().min(1).optional(),
  /** Every stored byte is looked at within so many days. */
  scrubDays: z.coerce.number().min(1).max(365).default(30),
  /** What hides the lengths of new content from the nodes (docs/FORMAT.md §3). */
  padding: z.enum(paddings).default('none'),
  /** Suite of new manifests (docs/FORMAT.md §5). */
  suite: z.coerce
    .number()
    .pipe(z.union([z.literal(1), z.literal(2)]))
    .default(1),
})

export type Config = Omit<z.infer<typeof settings>, 'data'> & {
  /** Absolute. */
  readonly data: string
  /** From MOSAIK_PASSPHRASE; never in a file or a log. */
  readonly passphrase: string | undefined
  /** From MOSAIK_HSM_PIN; likewise. */
  readonly hsmPin: string | undefined
}

const environmentNames: Readonly<Record<string, string>> = {
  MOSAIK_DATA: 'data',
  MOSAIK_HOST: 'host',
  MOSAIK_PORT: 'port',
  MOSAIK_PUBLIC_URL: 'publicUrl',
  MOSAIK_DATABASE_URL: 'databaseUrl',
  MOSAIK_REDIS_URL: 'redisUrl',
  MOSAIK_PASSPHRASE_FILE: 'passphraseFile',
  MOSAIK_HSM_MODULE: 'hsmModule',
  MOSAIK_HSM_TOKEN: 'hsmToken',
  MOSAIK_HSM_KEY: 'hsmKey',
  MOSAIK_HSM_PIN_FILE: 'hsmPinFile',
  MOSAIK_WATCH: 'watch',
  MOSAIK_WATCH_STABLE_SECONDS: 'watchStableSeconds',
  MOSAIK_WATCH_DELETE_AFTER_RECEIPT: 'watchDeleteAfterReceipt',
  MOSAIK_LOG_LEVEL: 'logLevel',
  MOSAIK_LOG_FILE: 'logFile',
  MOSAIK_THREADS: 'threads',
  MOSAIK_SUITE: 'suite',
  MOSAIK_PADDING: 'padding',
  MOSAIK_SCRUB_DAYS: 'scrubDays',
  MOSAIK_METRICS: 'metrics',
  MOSAIK_TRUSTED_PROXIES: 'trustedProxies',
  MOSAIK_CONFINEMENT: 'confinement',
  MOSAIK_ENTROPY_DEVICE: 'entropyDevice',
}

/** Names of the environment that are read elsewhere, most of them secrets. */
const notSettings: ReadonlySet<string> = new Set([
  'MOSAIK_PASSPHRASE',
  'MOSAIK_NEW_PASSPHRASE_FILE',
  'MOSAIK_CONFIG',
  'MOSAIK_HSM_PIN',
  'MOSAIK_URL',
  'MOSAIK_TOKEN',
  'MOSAIK_SECRET_KEY',
  'MOSAIK_LINK_PASSCODE',
  'MOSAIK_RECOVERY_KEY',
  'MOSAIK_VECTORS',
])

/** @param flags settings given on the command line. @throws E_CONFIG naming the setting, and where it came from */
export function readConfig(flags: Readonly<Record<string, unknown>>, environment = process.env): Config {
  const fromEnvironment: Record<string, unknown> = {}
  for (const [name, value] of Object.entries(environment)) {
    if (!name.startsWith('MOSAIK_') || value === undefined || value === '') continue
    if (notSettings.has(name)) continue
    const setting = environmentNames[name]
    if (setting === undefined) {
      throw new MosaikError('E_CONFIG', `the environment has ${name}, which is no setting; see docs/OPERATIONS.md`)
    }
    fromEnvironment[setting] = value
  }
  const given = Object.fromEntries(Object.entries(flags).filter(([, value]) => value !== undefined))
  const parsed = settings.safeParse({ ...readConfigFile(environment['MOSAIK_CONFIG']), ...fromEnvironment, ...given })
  if (!parsed.success) {
    const words = parsed.error.issues.map((issue) => `${issue.path.join('.') || 'settings'}: ${issue.message}`)
    throw new MosaikError('E_CONFIG', `the settings are not right: ${words.join('; ')}`)
  }
  return {
    ...parsed.data,
    data: resolve(parsed.data.data),
    passphrase: environment['MOSAIK_PASSPHRASE'] === '' ? undefined : environment['MOSAIK_PASSPHRASE'],
    hsmPin: environment['MOSAIK_HSM_PIN'] === '' ? undefined : environment['MOSAIK_HSM_PIN'],
  }
}

function readConfigFile(path: string | undefined): Record<string, unknown> {
  if (path === undefined || path === '') return {}
  try {
    return z.record(z.string(), z.unknown()).parse(JSON.parse(readFileSync(path, 'utf8')))
  } catch (error) {
    throw new MosaikError('E_CONFIG', `the settings file ${path} cannot be read as a JSON object`, {}, error)
  }
}

/** Where a client finds a vault that is not on this machine, and its token. */
export function remoteVault(environment = process.env): { readonly url: string; readonly token: string } | undefined {
  const url = environment['MOSAIK_URL']
  const token = environment['MOSAIK_TOKEN']
  if (!url) return undefined
  if (!token) throw new MosaikError('E_CONFIG', 'MOSAIK_URL is set and MOSAIK_TOKEN is not')
  return { url, token }
}

/** What a child process that we start gets to see of the environment. */
export function childEnvironment(environment = process.env): NodeJS.ProcessEnv {
  return { PATH: environment['PATH'] ?? '/usr/local/bin:/usr/bin:/bin', LANG: 'C.UTF-8' }
}

/** The same for an HSM's module, which has variables of its maker's: all but our own. */
export function hsmEnvironment(environment = process.env): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(environment).filter(([name]) => !name.startsWith('MOSAIK_')))
}

/** File with the passphrase that the keyring is to have. */
export function newPassphraseFileFromEnvironment(environment = process.env): string | undefined {
  const path = environment['MOSAIK_NEW_PASSPHRASE_FILE']
  return path === '' ? undefined : path
}

/** Passcode of a link that is being made. */
export function linkPasscodeFromEnvironment(environment = process.env): string | undefined {
  const passcode = environment['MOSAIK_LINK_PASSCODE']
  return passcode === '' ? undefined : passcode
}

/** The secret key of an S3 node that is being added. */
export function secretKeyFromEnvironment(environment = process.env): string | undefined {
  return environment['MOSAIK_SECRET_KEY']
}
