import { MosaikError, type ErrorCode } from '../../domain/errors.ts'

/** What a failed request means: the vault's code, and whether the same request may help at once. */
export interface Verdict {
  readonly code: ErrorCode
  readonly again: boolean
  readonly reason: string
}

/** Which call failed, for the error's message and fields. */
export interface CallName {
  /** Name of the node. */
  readonly label: string
  /** S3 operation, e.g. `UploadPart`. */
  readonly operation: string
  readonly key: string | null
}

const refused = (reason: string): Verdict => ({ code: 'E_NODE_REFUSED', again: false, reason })
const unreachable = (reason: string, again = true): Verdict => ({ code: 'E_NODE_UNREACHABLE', again, reason })
const full: Verdict = { code: 'E_NODE_FULL', again: false, reason: 'the quota or the capacity is exhausted' }
const damaged: Verdict = { code: 'E_NODE_CORRUPT', again: true, reason: 'the bytes did not arrive as they were sent' }

/** By the name of the answer, which services choose more carefully than the status. */
const byName: Readonly<Record<string, Verdict>> = {
  NoSuchKey: { code: 'E_OBJECT_ABSENT', again: false, reason: 'there is no such object' },
  NoSuchUpload: { code: 'E_OBJECT_ABSENT', again: false, reason: 'there is no such upload' },
  NoSuchVersion: { code: 'E_OBJECT_ABSENT', again: false, reason: 'there is no such version' },
  // A missing bucket is like a disk that is not mounted: it says nothing about its objects.
  NoSuchBucket: unreachable('the bucket is not there', false),
  InvalidRange: { code: 'E_OBJECT_RANGE', again: false, reason: 'the object ends before the range' },
  QuotaExceeded: full,
  QuotaExceededException: full,
  EntityTooLarge: full,
  InsufficientStorage: full,
  XMinioStorageFull: full,
  StorageFull: full,
  BadDigest: damaged,
  InvalidDigest: damaged,
  XAmzContentSHA256Mismatch: damaged,
  XAmzContentChecksumMismatch: damaged,
  RequestTimeout: unreachable('the request took too long'),
  RequestTimeTooSkewed: { code: 'E_NODE_REFUSED', again: true, reason: "the node's clock and ours differ too much" },
  AuthorizationHeaderMalformed: refused('the region or the credentials are not the right ones'),
  PermanentRedirect: refused('the bucket lies in another region or at another endpoint'),
  NotImplemented: refused('the service cannot do this'),
}

/** Name and HTTP status of the answer in an error of the SDK; status undefined when there was no answer. */
export function answerOf(error: unknown): { readonly name: string; readonly status: number | undefined } {
  if (typeof error !== 'object' || error === null) return { name: 'Unknown', status: undefined }
  const { name, Code, code, $metadata } = error as Record<string, unknown>
  const status = ($metadata as { httpStatusCode?: unknown } | undefined)?.httpStatusCode
  // Of a broken connection the SDK's name says "time-out"; the system's code says what it was.
  const names = [Code, ...(name === 'TimeoutError' ? [code] : []), name, code].filter(
    (candidate) => typeof candidate === 'string' && candidate !== 'Error',
  )
  return { name: String(names[0] ?? 'Unknown'), status: typeof status === 'number' ? status : undefined }
}

/** Judges an error of the SDK. Never by the text of a message. */
export function judge(error: unknown): Verdict {
  const { name, status } = answerOf(error)
  if (status === undefined) return unreachable('there was no answer')
  if (Object.hasOwn(byName, name)) return byName[name] as Verdict
  if (status === 404) return { code: 'E_OBJECT_ABSENT', again: false, reason: 'there is no such object' }
  if (status === 416) return byName['InvalidRange'] as Verdict
  if (status === 413 || status === 507) return full
  if (status === 408 || status === 429) return unreachable('the service asks to wait')
  if (status === 501 || status === 405) return refused('the service cannot do this')
  if (status >= 500) return unreachable('the service failed')
  if (status >= 300) return refused('the service refused')
  return unreachable('the answer could not be understood')
}

/**
 * The vault's error for a failed call. Its cause keeps name, status and request id of the answer, or the system's error of
 * the connection; not the SDK's own error, which carries the request with its signature.
 */
export function nodeError(error: unknown, call: CallName, secrets: readonly string[]): MosaikError {
  if (error instanceof MosaikError) return error
  const { code, reason } = judge(error)
  const { name, status } = answerOf(error)
  const { label, operation, key } = call
  const shown = clean(name, secrets)
  const answer = status === undefined ? shown : `${status} ${shown}`
  const fields = { node: label, operation, key, answer: shown, status: status ?? null }
  return new MosaikError(code, `node ${label}: ${reason} (${operation}: ${answer})`, fields, cause(error, secrets))
}

/** The name of the answer kept in an error of `nodeError`. */
export function answerName(error: unknown): string | undefined {
  const name = error instanceof MosaikError ? error.fields['answer'] : undefined
  return typeof name === 'string' ? name : undefined
}

function cause(error: unknown, secrets: readonly string[]): Error {
  const { name, status } = answerOf(error)
  const message = error instanceof Error ? error.message : 'no error was given'
  const kept = new Error(clean(message, secrets).slice(0, 300))
  kept.name = clean(name, secrets)
  kept.stack = `${kept.name}: ${kept.message}`
  const { requestId } = (error as { $metadata?: { requestId?: string } } | undefined)?.$metadata ?? {}
  return Object.assign(kept, { status: status ?? null, requestId: requestId ?? null })
}

function clean(text: string, secrets: readonly string[]): string {
  return secrets.reduce((cleaned, secret) => cleaned.replaceAll(secret, '…'), text)
}
