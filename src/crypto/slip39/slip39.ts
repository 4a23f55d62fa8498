import { MosaikError } from '../../domain/errors.ts'
import { decodeMnemonic, encodeMnemonic, shareFault, type Share } from './mnemonic.ts'
import { decryptSecret, encryptSecret } from './secret-encryption.ts'
import { combinePoints, splitIntoPoints, type Draw } from './secret-sharing.ts'

/**
 * Shares of a secret as words, by SLIP-0039 (https://github.com/satoshilabs/slips/blob/master/slip-0039.md): made in one group, read
 * in any number of groups.
 */

const MAX_SHARES = 16
/** The empty passphrase of a recovery key gains nothing from more iterations. */
const ITERATION_EXPONENT = 0

/**
 * n mnemonics, any k of which give the secret; k − 1 say nothing of it but its length. Secret, each of them.
 *
 * Not "extendable" (a flag of 2023), so that readers from before know them.
 *
 * @param secret 16 or more bytes, an even number.
 * @param draw fresh random bytes. @throws E_SCHEME_INVALID unless 2 ≤ k ≤ n ≤ 16, or k = n = 1.
 */
export function splitToMnemonics(k: number, n: number, secret: Uint8Array, draw: Draw, passphrase = ''): string[] {
  const isWhole = Number.isInteger(k) && Number.isInteger(n)
  if (!isWhole || k < 1 || n < k || n > MAX_SHARES || (k === 1 && n > 1)) {
    const words = `${k} of ${n} shares cannot be made: at least 2 are needed to restore, and there are at most ${MAX_SHARES}`
    throw new MosaikError('E_SCHEME_INVALID', words, { k, n })
  }
  if (secret.length < 16 || secret.length % 2 !== 0) throw new RangeError(`a secret of ${secret.length} bytes`)
  const [high, low] = draw(2)
  const set = {
    identifier: ((high! & 0x7f) << 8) | low!,
    isExtendable: false,
    iterationExponent: ITERATION_EXPONENT,
  }
  const encrypted = encryptSecret(secret, { ...set, passphrase })
  return splitIntoPoints(k, n, encrypted, draw).map(({ x, y }) =>
    encodeMnemonic({
      ...set,
      groupIndex: 0,
      groupThreshold: 1,
      groupCount: 1,
      memberIndex: x,
      memberThreshold: k,
      value: y,
    }),
  )
}

/**
 * The secret of mnemonics, in any order; those over the thresholds must be of the set and are not looked at further.
 *
 * @throws E_RECOVERY_KEY saying which is wrong and how, never a word of it; E_SHARES_TOO_FEW.
 */
export function combineMnemonics(mnemonics: readonly string[], passphrase = ''): Uint8Array<ArrayBuffer> {
  return combineShares(
    mnemonics.map((text, i) => decodeMnemonic(text, i + 1)),
    passphrase,
  )
}

/** As `combineMnemonics`, of shares decoded before. @throws as `checkShares`; E_RECOVERY_KEY when they do not fit together. */
export function combineShares(shares: readonly Share[], passphrase = ''): Uint8Array<ArrayBuffer> {
  checkShares(shares)
  const { groupThreshold } = shares[0]!
  const complete = groupsOf(shares).filter((group) => group.length >= group[0]!.memberThreshold)
  const groups = complete.slice(0, groupThreshold).map((group) => ({
    x: group[0]!.groupIndex,
    y: combined(group.slice(0, group[0]!.memberThreshold).map((share) => ({ x: share.memberIndex, y: share.value }))),
  }))
  return decryptSecret(combined(groups), { ...shares[0]!, passphrase })
}

/**
 * That shares are of one set, none twice, and enough.
 *
 * @throws E_RECOVERY_KEY naming the first share that does not go with those before it; E_SHARES_TOO_FEW, checked last.
 */
export function checkShares(shares: readonly Share[]): void {
  shares.forEach((share, i) => checkBeside(share, i + 1, shares.slice(0, i)))
  if (shares.length === 0) throw new MosaikError('E_SHARES_TOO_FEW', 'there are no shares', { given: 0 })
  const { groupThreshold, groupCount } = shares[0]!
  const groups = groupsOf(shares)
  const complete = groups.filter((group) => group.length >= group[0]!.memberThreshold).length
  if (complete >= groupThreshold) return
  const counts = groups.map((group) => {
    const { groupIndex, memberThreshold } = group[0]!
    return `${group.length} of ${memberThreshold} shares${groupCount > 1 ? ` of group ${groupIndex + 1}` : ''}`
  })
  const ofGroups = groupCount > 1 ? `, ${groupThreshold} complete groups are needed` : ''
  throw new MosaikError('E_SHARES_TOO_FEW', `not enough yet: ${counts.join(', ')}${ofGroups}`, { given: shares.length })
}

function checkBeside(share: Share, position: number, others: readonly Share[]): void {
  const { groupIndex, memberIndex, memberThreshold } = share
  const [first] = others
  const isOfSet =
    first === undefined ||
    (first.identifier === share.identifier &&
      first.isExtendable === share.isExtendable &&
      first.iterationExponent === share.iterationExponent &&
      first.groupThreshold === share.groupThreshold &&
      first.groupCount === share.groupCount &&
      first.value.length === share.value.length)
  if (!isOfSet) throw shareFault(position, 'it is of another set than share 1')
  others.forEach((other, i) => {
    if (other.groupIndex !== groupIndex) return
    if (other.memberThreshold !== memberThreshold) {
      throw shareFault(
        position,
        `it is one of ${memberThreshold} needed, share ${i + 1} one of ${other.memberThreshold}`,
      )
    }
    if (other.memberIndex === memberIndex) throw shareFault(position, `it has the same number as share ${i + 1}`)
  })
}

function groupsOf(shares: readonly Share[]): Share[][] {
  const groups = new Map<number, Share[]>()
  for (const share of shares) groups.set(share.groupIndex, [...(groups.get(share.groupIndex) ?? []), share])
  return [...groups.values()]
}

function combined(points: Parameters<typeof combinePoints>[0]): Uint8Array<ArrayBuffer> {
  const secret = combinePoints(points)
  if (secret) return secret
  throw new MosaikError(
    'E_RECOVERY_KEY',
    'the shares are each well written and do not fit together: one is not genuine',
  )
}
