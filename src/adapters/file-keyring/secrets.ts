import { z } from 'zod'
import { fromBase64, toBase64 } from './sealed-file.ts'

/** What the sealed part of `keyring.json` holds, in memory. Never logged, never handed out but through the port. */
export interface KeyringSecrets {
  /** AES-256 key that wraps what the catalog keeps. */
  readonly atRestKey: Uint8Array
  /** AES-256 key of `keyring-spool.json`; a keyring of an earlier release derives it from the passphrase. */
  readonly spoolSealKey?: Uint8Array | undefined
  /** What that file may still be sealed under, while the passphrase is being changed. */
  readonly formerSpoolSealKey?: Uint8Array | undefined
  readonly organisations: ReadonlyMap<string, OrganisationSecrets>
}

export interface OrganisationSecrets {
  /** In order of epoch; the last one is in force. */
  readonly epochs: readonly EpochSecrets[]
  /** Prepared, and not in force before its card lies on the nodes. */
  readonly nextEpoch?: EpochSecrets | undefined
  readonly linkSeed: Uint8Array
  /** R, until it was shown. */
  readonly pendingRecoverySeed: Uint8Array | null
  /** R, given again for a rebuild without the old keyring: opens what is sealed to the lost vault keys, until all of it is sealed anew. */
  readonly rebuildSeed?: Uint8Array | undefined
  /** Public: what R derives, kept when R is gone. */
  readonly recovery: readonly { readonly suite: 1 | 2; readonly publicKey: Uint8Array }[]
  readonly root: { readonly ed25519: Uint8Array; readonly mldsa65: Uint8Array }
}

export interface EpochSecrets {
  readonly epoch: number
  readonly vaultSeed: Uint8Array
  readonly signingSeed: Uint8Array
}

/** One spool key pair; its seed is its private key. */
export interface SpoolKey {
  readonly keyId: Uint8Array
  readonly seed: Uint8Array
  readonly createdAtMs: number
  /** When a newer key took its place. */
  readonly supersededAtMs: number | null
}

/** Base64 of `lengthBytes` bytes, or of any number of them. */
function bytesSchema(lengthBytes?: number) {
  return z.codec(
    z.string(),
    z.custom<Uint8Array>(
      (value) => value instanceof Uint8Array && (lengthBytes === undefined || value.length === lengthBytes),
    ),
    { decode: fromBase64, encode: toBase64 },
  )
}

const idSchema = z.string().regex(/^[0-9a-f]{32}$/)

const epochSchema = z.strictObject({
  epoch: z.int().min(1),
  vaultSeed: bytesSchema(32),
  signingSeed: bytesSchema(32),
})

const organisationSchema = z.strictObject({
  epochs: z.array(epochSchema).min(1),
  nextEpoch: epochSchema.optional(),
  linkSeed: bytesSchema(32),
  pendingRecoverySeed: bytesSchema(32).nullable(),
  rebuildSeed: bytesSchema(32).optional(),
  recovery: z.array(z.strictObject({ suite: z.union([z.literal(1), z.literal(2)]), publicKey: bytesSchema() })),
  root: z.strictObject({ ed25519: bytesSchema(32), mldsa65: bytesSchema(1952) }),
})

const secretsSchema = z.strictObject({
  atRestKey: bytesSchema(32),
  spoolSealKey: bytesSchema(32).optional(),
  formerSpoolSealKey: bytesSchema(32).optional(),
  organisations: z.record(idSchema, organisationSchema),
})

const spoolSchema = z.strictObject({
  keys: z.array(
    z.strictObject({
      keyId: bytesSchema(16),
      seed: bytesSchema(32),
      createdAtMs: z.int().min(0),
      supersededAtMs: z.int().min(0).nullable(),
    }),
  ),
})

/** @throws ZodError when the content has another shape: only a program that holds the passphrase could have written it. */
export function parseSecrets(value: unknown): KeyringSecrets {
  const { organisations, ...rest } = secretsSchema.parse(value)
  return { ...rest, organisations: new Map(Object.entries(organisations)) }
}

export function secretsToJson(secrets: KeyringSecrets): unknown {
  const { organisations, ...rest } = secrets
  return z.encode(secretsSchema, {
    ...rest,
    organisations: Object.fromEntries(
      [...organisations].map(([id, one]) => [
        id,
        {
          ...one,
          epochs: one.epochs.map((epoch) => ({ ...epoch })),
          nextEpoch: one.nextEpoch && { ...one.nextEpoch },
          recovery: one.recovery.map((key) => ({ ...key })),
        },
      ]),
    ),
  })
}

export function parseSpoolKeys(value: unknown): readonly SpoolKey[] {
  return spoolSchema.parse(value).keys
}

export function spoolKeysToJson(keys: readonly SpoolKey[]): unknown {
  return z.encode(spoolSchema, { keys: keys.map((key) => ({ ...key })) })
}
