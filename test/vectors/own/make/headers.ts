import { encodeAssetHeader } from '../../../../src/format/asset-header.ts'
import { encodeFragmentHeader } from '../../../../src/format/fragment-header.ts'
import { encodeNodeMarker } from '../../../../src/format/node-marker.ts'
import { encodeRecoveryKey } from '../../../../src/format/recovery-key.ts'
import { encodeDocumentHeader, NO_SUBJECT, type DocumentHeader } from '../../../../src/format/sealed-document.ts'
import { encodeSpoolHeader } from '../../../../src/format/spool-header.ts'
import { cut, Family, flip, join, patch, type Draft } from './edit.ts'
import { primitives, SmallVault } from './small-vault.ts'

/** Vectors of objects with fixed fields only, and of the recovery key. */
export function headerVectors(): Draft[] {
  return [assetHeaders(), fragmentHeaders(), documentHeaders(), spoolHeaders(), markers(), recoveryKeys()].flatMap(
    (family) => family.drafts,
  )
}

const one = Uint8Array.of(0)

function assetHeaders(): Family {
  const vault = new SmallVault('asset-header')
  const valid = encodeAssetHeader({
    organisation: vault.organisation,
    recording: vault.id(),
    asset: vault.id(),
    attempt: vault.id(),
  })
  return new Family('asset-header')
    .ok('valid', valid)
    .frame(valid)
    .fault('E_FORMAT_LENGTH', 'one-byte-short', cut(valid, 83))
    .fault('E_FORMAT_LENGTH', 'one-byte-long', join(valid, one))
    .fault('E_FORMAT_FIELD', 'floe-cipher', patch(valid, 74, 1))
    .fault('E_FORMAT_FIELD', 'floe-hash', patch(valid, 75, 1))
    .fault('E_FORMAT_FIELD', 'floe-segment-1-mib', patch(valid, 76, 0, 16, 0, 0))
    .fault('E_FORMAT_FIELD', 'floe-iv-12', patch(valid, 83, 12))
}

function fragmentHeaders(): Family {
  const vault = new SmallVault('fragment-header')
  const base = { attempt: vault.id(), sharing: vault.id(), extent: 7, index: 4, scheme: { k: 3, n: 5, t: 1 } }
  const valid = encodeFragmentHeader(base)
  const widest = { ...base, extent: 2 ** 32 - 1, index: 31, scheme: { k: 16, n: 32, t: 15 } }
  return new Family('fragment-header')
    .ok('valid', valid)
    .ok('valid-widest', encodeFragmentHeader(widest))
    .ok('valid-dispersal', encodeFragmentHeader({ ...base, index: 0, scheme: { k: 2, n: 2, t: 0 } }))
    .frame(valid)
    .fault('E_FORMAT_LENGTH', 'ends-in-suite', cut(valid, 11))
    .fault('E_SUITE_UNKNOWN', 'suite-0', patch(valid, 11, 0))
    .fault('E_SUITE_UNKNOWN', 'suite-2', patch(valid, 11, 2))
    .fault('E_SUITE_UNKNOWN', 'suite-2-and-short', cut(patch(valid, 11, 2), 200))
    .fault('E_FORMAT_LENGTH', 'one-byte-short', cut(valid, 255))
    .fault('E_FORMAT_LENGTH', 'one-byte-long', join(valid, one))
    .fault('E_FORMAT_LENGTH', 'short-and-field', cut(patch(valid, 53, 0x1d), 255))
    .fault('E_SCHEME_INVALID', 'k-1', patch(valid, 49, 1))
    .fault('E_SCHEME_INVALID', 'k-17', patch(valid, 49, 17, 32))
    .fault('E_SCHEME_INVALID', 'n-below-k', patch(valid, 48, 1, 3, 2))
    .fault('E_SCHEME_INVALID', 'n-33', patch(valid, 50, 33))
    .fault('E_SCHEME_INVALID', 't-is-k', patch(valid, 51, 3))
    .fault('E_SCHEME_INVALID', 'index-is-n', patch(valid, 48, 5))
    .fault('E_FORMAT_FIELD', 'field-0x11d', patch(valid, 53, 0x1d))
    .fault('E_FORMAT_FIELD', 'field-and-scheme', patch(patch(valid, 53, 0x1d), 49, 1))
    .fault('E_FORMAT_FIELD', 'segment-length', patch(valid, 54, 0, 16, 0, 0))
    .fault('E_FORMAT_FIELD', 'first-reserved-byte', patch(valid, 58, 1))
    .fault('E_FORMAT_FIELD', 'last-reserved-byte', patch(valid, 255, 1))
}

function documentHeaders(): Family {
  const vault = new SmallVault('document-header')
  const ids = (count: number) => Array.from({ length: count }, () => vault.random.bytes(16))
  const base: DocumentHeader = {
    kind: 'manifest',
    suite: 1,
    organisation: vault.organisation,
    subject: vault.id(),
    generation: 258,
    recipients: ids(2),
  }
  const valid = encodeDocumentHeader(base)
  const state = encodeDocumentHeader({ ...base, kind: 'state', suite: 2, subject: NO_SUBJECT })
  const most = encodeDocumentHeader({ ...base, generation: Number.MAX_SAFE_INTEGER, recipients: ids(16) })
  return new Family('document-header')
    .ok('valid-manifest', valid)
    .ok('valid-state', state)
    .ok('valid-sixteen-recipients', most)
    .frame(valid)
    .fault('E_FORMAT_LENGTH', 'ends-in-suite', cut(valid, 11))
    .fault('E_SUITE_UNKNOWN', 'suite-0', patch(valid, 11, 0))
    .fault('E_SUITE_UNKNOWN', 'suite-3', patch(valid, 11, 3))
    .fault('E_FORMAT_LENGTH', 'ends-before-recipients', cut(valid, 52))
    .fault('E_FORMAT_LENGTH', 'one-byte-short', cut(valid, valid.length - 1))
    .fault('E_FORMAT_LENGTH', 'one-byte-long', join(valid, one))
    .fault('E_FORMAT_LENGTH', 'says-three-recipients', patch(valid, 52, 3))
    .fault('E_FORMAT_FIELD', 'kind-0', patch(valid, 10, 0))
    .fault('E_FORMAT_FIELD', 'kind-3', patch(valid, 10, 3))
    .fault('E_FORMAT_FIELD', 'state-with-subject', patch(state, 43, 1))
    .fault('E_FORMAT_FIELD', 'generation-0', patch(valid, 50, 0, 0))
    .fault('E_FORMAT_FIELD', 'generation-2-to-53', patch(valid, 44, 0, 0x20, 0, 0, 0, 0, 0, 0))
    .fault('E_FORMAT_FIELD', 'no-recipient', cut(patch(valid, 52, 0), 53))
    .fault('E_FORMAT_FIELD', 'one-recipient', cut(patch(valid, 52, 1), 69))
    .fault('E_FORMAT_FIELD', 'seventeen-recipients', join(patch(most, 52, 17), vault.random.bytes(16)))
    .fault('E_FORMAT_FIELD', 'a-recipient-twice', join(cut(valid, 69), valid.subarray(53, 69)))
}

function spoolHeaders(): Family {
  const vault = new SmallVault('spool-header')
  const base = {
    suite: 1 as const,
    upload: vault.id(),
    number: 3,
    offsetBytes: 5_000_000_000,
    keyId: vault.random.bytes(16),
  }
  const valid = encodeSpoolHeader(base)
  return new Family('spool-header')
    .ok('valid', valid)
    .ok(
      'valid-suite-2',
      encodeSpoolHeader({ ...base, suite: 2, number: 2 ** 32 - 1, offsetBytes: Number.MAX_SAFE_INTEGER }),
    )
    .frame(valid)
    .fault('E_SUITE_UNKNOWN', 'suite-0', patch(valid, 10, 0))
    .fault('E_SUITE_UNKNOWN', 'suite-3', patch(valid, 10, 3))
    .fault('E_FORMAT_LENGTH', 'one-byte-short', cut(valid, 55))
    .fault('E_FORMAT_LENGTH', 'one-byte-long', join(valid, one))
    .fault('E_FORMAT_FIELD', 'reserved-byte', patch(valid, 11, 1))
    .fault('E_FORMAT_FIELD', 'offset-2-to-53', patch(valid, 32, 0, 0x20, 0, 0, 0, 0, 0, 0))
}

function markers(): Family {
  const vault = new SmallVault('node-marker')
  const valid = encodeNodeMarker({ installation: vault.installation, node: vault.id() })
  return new Family('node-marker')
    .ok('valid', valid)
    .frame(valid)
    .fault('E_FORMAT_LENGTH', 'one-byte-short', cut(valid, 41))
    .fault('E_FORMAT_LENGTH', 'one-byte-long', join(valid, one))
}

function recoveryKeys(): Family {
  const seed = new SmallVault('recovery-key').recoverySeed
  const valid = encodeRecoveryKey(seed, primitives.sha256)
  // the last digit carries three bits; the two below them are zero
  const digits = 'abcdefghijklmnopqrstuvwxyz234567'
  const leftOver = valid.slice(0, -1) + digits[digits.indexOf(valid.at(-1)) + 1]!
  const swapped = encodeRecoveryKey(flip(seed, 0), primitives.sha256).slice(0, 23) + valid.slice(23)
  return new Family('recovery-key')
    .ok('valid', valid)
    .ok('valid-shouted-with-spaces', `  ${valid.toUpperCase().replaceAll('-', ' ')}\n`)
    .ok('valid-without-hyphens', valid.replaceAll('-', ''))
    .fault('E_RECOVERY_KEY', 'empty', '')
    .fault('E_RECOVERY_KEY', 'prefix-only', 'mosaik-recovery-1-')
    .fault('E_RECOVERY_KEY', 'prefix-2', valid.replace('-1-', '-2-'))
    .fault('E_RECOVERY_KEY', 'no-prefix', valid.slice(18))
    .fault('E_RECOVERY_KEY', 'one-digit-short', valid.slice(0, -1))
    .fault('E_RECOVERY_KEY', 'one-digit-long', `${valid}a`)
    .fault('E_RECOVERY_KEY', 'digit-outside', valid.replace(/.$/, '1'))
    .fault('E_RECOVERY_KEY', 'left-over-bits', leftOver)
    .fault('E_RECOVERY_KEY', 'wrong-first-group', swapped)
}
