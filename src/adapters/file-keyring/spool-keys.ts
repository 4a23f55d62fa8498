import { keyId } from '../../crypto/keys.ts'
import type { HpkePrimitives } from '../../crypto/kem.ts'
import type { SpoolKey } from './secrets.ts'

/** A spool key is replaced when it is this old. */
export const SPOOL_KEY_MAX_AGE_MS = 24 * 60 * 60 * 1000

/**
 * For this long after it was made or superseded a spool key is kept, whatever the spool says: a writer may have asked for
 * the public key and not yet put the front of its extent on the disk.
 */
export const SPOOL_KEY_GRACE_MS = 10 * 60 * 1000

/** A new spool key, suite 1. @param seed 32 fresh random bytes. */
export function newSpoolKey(primitives: HpkePrimitives, seed: Uint8Array, nowMs: number): SpoolKey {
  const { publicKey } = primitives.kem(1).keyPair(seed)
  return { keyId: keyId(primitives, 1, publicKey), seed, createdAtMs: nowMs, supersededAtMs: null }
}

/** The key that new extents are wrapped to. */
export function presentSpoolKey(keys: readonly SpoolKey[]): SpoolKey | undefined {
  return keys.find((key) => key.supersededAtMs === null)
}

/**
 * The keys after rotation: a new present key when the old one is a day old, or the spool is empty and the old one past its
 * grace; without the superseded ones that no extent in the spool names and whose grace is over.
 *
 * @param inUse key ids of the extents that are in the spool.
 * @returns `keys` itself when nothing changes.
 */
export function rotated(
  keys: readonly SpoolKey[],
  inUse: readonly Uint8Array[],
  nowMs: number,
  makeKey: () => SpoolKey,
): readonly SpoolKey[] {
  const present = presentSpoolKey(keys)
  const ageMs = present === undefined ? Number.POSITIVE_INFINITY : nowMs - present.createdAtMs
  const replace = ageMs >= (inUse.length === 0 ? SPOOL_KEY_GRACE_MS : SPOOL_KEY_MAX_AGE_MS)
  const turned = replace
    ? [...keys.map((key) => (key === present ? { ...key, supersededAtMs: nowMs } : key)), makeKey()]
    : keys
  const kept = turned.filter(
    ({ keyId: id, supersededAtMs }) =>
      supersededAtMs === null ||
      nowMs - supersededAtMs < SPOOL_KEY_GRACE_MS ||
      inUse.some((used) => used.length === id.length && used.every((byte, i) => byte === id[i])),
  )
  return replace || kept.length < keys.length ? kept : keys
}
