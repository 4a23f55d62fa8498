import { ascii, concat } from '../../crypto/bytes.ts'
import type { Primitives } from '../../crypto/primitives.ts'
import { MosaikError } from '../../domain/errors.ts'
import type { Random } from '../../ports/system.ts'
import type { Hsm } from '../pkcs11-tool.ts'
import type { NewLock } from './file-keyring.ts'
import { fromBase64, toBase64 } from './sealed-file.ts'
import { otherLock, type Unlock } from './unlock.ts'

const SALT_BYTES = 32
const EMPTY = new Uint8Array(0)

/** A master key that the HSM gives for a fresh salt. @throws as `Hsm.hmac` */
export async function newHsmLock(
  hsm: Hsm,
  { primitives, random }: { readonly primitives: Primitives; readonly random: Random },
): Promise<NewLock> {
  const salt = random.bytes(SALT_BYTES)
  const answer = await ask(hsm, salt)
  const check = toBase64(checkOf(primitives, answer))
  return {
    lock: { kdf: null, hsm: { algorithm: 'hmac-sha256', salt: toBase64(salt), check } },
    masterKey: masterKeyOf(primitives, answer),
  }
}

/** @throws E_HSM_ANSWER another key answered; as `Hsm.hmac`; E_KEYRING_LOCK */
export function withHsm(hsm: Hsm, primitives: Primitives): Unlock {
  return async (lock) => {
    if (lock.hsm === undefined) throw otherLock('an HSM', lock)
    const answer = await ask(hsm, fromBase64(lock.hsm.salt))
    if (!primitives.equal(checkOf(primitives, answer), fromBase64(lock.hsm.check))) {
      answer.fill(0)
      throw new MosaikError(
        'E_HSM_ANSWER',
        'the HSM answered, and with another key than the one that sealed the keyring: look at its labels, and at which backup of keyring.json this is',
      )
    }
    return masterKeyOf(primitives, answer)
  }
}

const ask = async (hsm: Hsm, salt: Uint8Array): Promise<Uint8Array> =>
  await hsm.hmac(concat(ascii('mosaik/keyring/v1/hsm'), salt))

/** The answer is 32 bytes of a pseudo-random function: its hash tells it from others, and says nothing of it. */
function checkOf(primitives: Primitives, answer: Uint8Array): Uint8Array {
  return primitives.sha256(concat(ascii('mosaik/keyring/v1/hsm-check'), answer))
}

/** Overwrites the answer. */
function masterKeyOf(primitives: Primitives, answer: Uint8Array): Uint8Array {
  const masterKey = primitives.hkdfSha256(answer, EMPTY, ascii('mosaik/keyring/v1/hsm-master'), 32)
  answer.fill(0)
  return masterKey
}
