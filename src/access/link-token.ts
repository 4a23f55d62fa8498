import { createHmac, timingSafeEqual } from 'node:crypto'
import { fromHex, isId, toHex, type Id } from '../domain/ids.ts'
import { MosaikError } from '../domain/errors.ts'

/** What a link token says. It only names the link; the row in the catalog decides. */
export interface LinkClaims {
  readonly link: Id
  readonly recording: Id
  readonly organisation: Id
  readonly expiresAtMs: number
  readonly allowDownload: boolean
}

/** Gives the HMAC key of an organisation for a key period, or `undefined` when there is none. */
export type LinkKeyOf = (organisation: Id, kid: string) => Promise<Uint8Array | undefined>

/** Longest text that can be a token; anything longer is refused unread. */
export const TOKEN_MAX_CHARS = 160

const PREFIX = 'rv1'
const ID_BYTES = 16
/** link ‖ recording ‖ organisation ‖ expiry u64 big endian in ms ‖ flags u8. */
const PAYLOAD_BYTES = 3 * ID_BYTES + 8 + 1
const EXPIRY_AT = 3 * ID_BYTES
const FLAGS_AT = EXPIRY_AT + 8
const MAC_BYTES = 32
const FLAG_DOWNLOAD = 1
const tokenPattern = /^rv1\.([0-9]{4}-(?:0[1-9]|1[0-2]))\.([A-Za-z0-9_-]{76})\.([A-Za-z0-9_-]{43})$/

/** Links live at most 30 days, so their key period began at most two months back (31 January + 30 days is in March). */
const MONTHS_BACK = 2
/** Another machine's clock may be ahead over the end of a month. */
const MONTHS_AHEAD = 1

/** Stands in for a missing key and a malformed token, so that refusing costs the same HMAC. */
const NO_KEY = new Uint8Array(MAC_BYTES)
const NO_PAYLOAD = Buffer.from(new Uint8Array(PAYLOAD_BYTES)).toString('base64url')
const NO_MAC = new Uint8Array(MAC_BYTES)

/** The key period in which a link was made: "YYYY-MM", in UTC. */
export function kidAt(nowMs: number): string {
  return new Date(nowMs).toISOString().slice(0, 7)
}

/**
 * Makes the token `rv1.kid.payload.mac`; the MAC covers everything before it. There is no algorithm field: the prefix
 * is the version.
 */
export function sealToken(claims: LinkClaims, kid: string, key: Uint8Array): string {
  const signed = `${PREFIX}.${kid}.${encodePayload(claims)}`
  return `${signed}.${Buffer.from(macOf(key, signed)).toString('base64url')}`
}

/**
 * Claims of a token with a good MAC, else `undefined`; whether it was malformed, of an unknown organisation or forged is
 * not told, and each of them costs one HMAC. Reads no catalog. Expiry is not judged here.
 *
 * @param nowMs keeps strangers from having keys of arbitrary periods derived.
 */
export async function openToken(token: string, nowMs: number, keyOf: LinkKeyOf): Promise<LinkClaims | undefined> {
  const parts = parseToken(token, nowMs)
  const key = parts === undefined ? undefined : await keyOf(parts.claims.organisation, parts.kid)
  const expected = macOf(key ?? NO_KEY, parts?.signed ?? `${PREFIX}.0000-01.${NO_PAYLOAD}`)
  const equal = timingSafeEqual(expected, parts?.mac ?? NO_MAC)
  return equal && key !== undefined ? parts?.claims : undefined
}

interface TokenParts {
  readonly kid: string
  readonly claims: LinkClaims
  readonly signed: string
  readonly mac: Uint8Array
}

function parseToken(token: string, nowMs: number): TokenParts | undefined {
  if (token.length > TOKEN_MAX_CHARS) return undefined
  const [, kid, payloadText, macText] = tokenPattern.exec(token) ?? []
  if (kid === undefined || payloadText === undefined || macText === undefined) return undefined
  const payload = decodeCanonical(payloadText, PAYLOAD_BYTES)
  const mac = decodeCanonical(macText, MAC_BYTES)
  if (payload === undefined || mac === undefined || !isPlausibleKid(kid, nowMs)) return undefined
  const claims = decodePayload(payload)
  if (claims === undefined) return undefined
  return { kid, claims, signed: `${PREFIX}.${kid}.${payloadText}`, mac }
}

function encodePayload(claims: LinkClaims): string {
  for (const id of [claims.link, claims.recording, claims.organisation]) {
    if (!isId(id)) throw new MosaikError('E_INPUT', 'a link token needs ids of 32 hexadecimal digits')
  }
  const payload = Buffer.alloc(PAYLOAD_BYTES)
  payload.set(fromHex(claims.link), 0)
  payload.set(fromHex(claims.recording), ID_BYTES)
  payload.set(fromHex(claims.organisation), 2 * ID_BYTES)
  payload.writeBigUInt64BE(BigInt(claims.expiresAtMs), EXPIRY_AT)
  payload.writeUInt8(claims.allowDownload ? FLAG_DOWNLOAD : 0, FLAGS_AT)
  return payload.toString('base64url')
}

function decodePayload(payload: Buffer): LinkClaims | undefined {
  const expiresAtMs = payload.readBigUInt64BE(EXPIRY_AT)
  const flags = payload.readUInt8(FLAGS_AT)
  if (expiresAtMs > BigInt(Number.MAX_SAFE_INTEGER) || (flags & ~FLAG_DOWNLOAD) !== 0) return undefined
  return {
    link: toHex(payload.subarray(0, ID_BYTES)),
    recording: toHex(payload.subarray(ID_BYTES, 2 * ID_BYTES)),
    organisation: toHex(payload.subarray(2 * ID_BYTES, EXPIRY_AT)),
    expiresAtMs: Number(expiresAtMs),
    allowDownload: (flags & FLAG_DOWNLOAD) !== 0,
  }
}

/** Bytes have one spelling: Buffer ignores stray bits at the end, so the text is compared with its re-encoding. */
function decodeCanonical(text: string, lengthBytes: number): Buffer | undefined {
  const bytes = Buffer.from(text, 'base64url')
  return bytes.length === lengthBytes && bytes.toString('base64url') === text ? bytes : undefined
}

function isPlausibleKid(kid: string, nowMs: number): boolean {
  const age = monthNumber(kidAt(nowMs)) - monthNumber(kid)
  return age >= -MONTHS_AHEAD && age <= MONTHS_BACK
}

function monthNumber(kid: string): number {
  return Number(kid.slice(0, 4)) * 12 + Number(kid.slice(5, 7))
}

function macOf(key: Uint8Array, signed: string): Uint8Array {
  return createHmac('sha256', key).update(signed, 'ascii').digest()
}
