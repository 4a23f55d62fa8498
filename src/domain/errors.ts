/** Whether trying the same thing again can help: never, after a while, or at another node. */
export type Retry = 'never' | 'later' | 'elsewhere'

/**
 * Every error a user, an operator or a program can meet, by its stable code. A code is never renamed or reused.
 * The value says whether a retry can help.
 */
export const errorCodes = {
  // bytes and cryptography (docs/FORMAT.md)
  E_FORMAT_MAGIC: 'never',
  E_FORMAT_VERSION: 'never',
  E_FORMAT_FIELD: 'never',
  E_FORMAT_LENGTH: 'never',
  E_FORMAT_CBOR: 'never',
  E_SUITE_UNKNOWN: 'never',
  E_SCHEME_INVALID: 'never',
  E_SHARES_TOO_FEW: 'later',
  E_SHARES_MIXED: 'never',
  E_BLOCK_TAG: 'elsewhere',
  E_SEGMENT_TAG: 'elsewhere',
  E_HEADER_TAG: 'never',
  E_HPKE_OPEN: 'never',
  E_SIGNATURE: 'never',
  E_CARD_UNTRUSTED: 'never',
  E_RECOVERY_KEY: 'never',
  // nodes
  E_NODE_UNREACHABLE: 'elsewhere',
  E_NODE_REFUSED: 'elsewhere',
  E_NODE_FULL: 'elsewhere',
  E_NODE_CORRUPT: 'elsewhere',
  E_NODE_FOREIGN: 'never',
  E_NODE_UNSUITABLE: 'never',
  E_NODE_UNKNOWN: 'never',
  E_OBJECT_ABSENT: 'elsewhere',
  E_OBJECT_RANGE: 'never',
  E_PLACEMENT_RULE: 'never',
  E_NODES_TOO_FEW: 'later',
  // keys
  E_KEYRING_LOCKED: 'never',
  E_KEYRING_PASSPHRASE: 'never',
  E_KEYRING_LOCK: 'never',
  E_KEYRING_SHARE: 'never',
  E_VAULT_SEALED: 'later',
  E_HSM_MODULE: 'never',
  E_HSM_TOKEN: 'later',
  E_HSM_PIN: 'never',
  E_HSM_KEY: 'never',
  E_HSM_ANSWER: 'never',
  E_KEYRING_KEY_UNKNOWN: 'never',
  E_KEYRING_RATE: 'later',
  // recordings and work
  E_RECORDING_UNKNOWN: 'never',
  E_RECORDING_NOT_READY: 'later',
  E_ASSET_UNKNOWN: 'never',
  E_SOURCE_CHANGED: 'later',
  E_SOURCE_UNREADABLE: 'never',
  E_SOURCE_HASH: 'never',
  E_SOURCE_EMPTY: 'never',
  E_CATALOG_UNREACHABLE: 'later',
  E_CONFLICT: 'later',
  E_READ_ONLY: 'later',
  E_RETENTION: 'never',
  E_LEASE_LOST: 'later',
  // media
  E_MEDIA_UNREADABLE: 'never',
  E_MEDIA_UNSUPPORTED: 'never',
  E_MEDIA_TOOL: 'later',
  E_MEDIA_LIMIT: 'never',
  // links and access
  E_LINK_INVALID: 'never',
  E_LINK_PASSCODE: 'never',
  E_LINK_LOCKED: 'later',
  E_UNAUTHORIZED: 'never',
  E_FORBIDDEN: 'never',
  E_TOKEN_UNKNOWN: 'never',
  E_ORGANISATION_UNKNOWN: 'never',
  // requests
  E_ROUTE: 'never',
  E_UPLOAD_UNKNOWN: 'never',
  E_METHOD: 'never',
  E_TOO_LARGE: 'never',
  E_CONTENT_TYPE: 'never',
  // input and configuration
  E_INPUT: 'never',
  E_CONFIG: 'never',
  E_SETUP: 'never',
  E_SPOOL: 'later',
  E_RATE_LIMIT: 'later',
  E_ABORTED: 'later',
  E_INTERNAL: 'later',
} as const satisfies Record<string, Retry>

export type ErrorCode = keyof typeof errorCodes

/** Fields of an error that are safe to log: ids, counts, names of nodes; never content, keys, tokens or titles. */
export type SafeFields = Readonly<Record<string, string | number | boolean | null | readonly string[]>>

/** The only error class of the house: a stable code, plain words, fields safe to log, and the cause. */
export class MosaikError extends Error {
  readonly code: ErrorCode
  readonly fields: SafeFields

  /**
   * @param message what was wrong, where, and what to do; never a secret.
   * @param fields safe to log.
   */
  constructor(code: ErrorCode, message: string, fields: SafeFields = {}, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause })
    this.name = 'MosaikError'
    this.code = code
    this.fields = fields
  }

  get retry(): Retry {
    return errorCodes[this.code]
  }
}

/** True when `error` is a MosaikError, and, if codes are given, carries one of them. */
export function isMosaikError(error: unknown, ...codes: ErrorCode[]): error is MosaikError {
  return error instanceof MosaikError && (codes.length === 0 || codes.includes(error.code))
}
