import { copyBytes } from '../../src/adapters/copy-bytes.ts'
import { nodePrimitives as primitives } from '../../src/adapters/node-primitives.ts'
import type { Scheme } from '../../src/domain/dispersal.ts'
import { createFloeHeader } from '../../src/crypto/floe.ts'
import type { SealerTools } from '../../src/crypto/segment-codec.ts'
import type { Kernel } from '../../src/crypto/kernel/kernel.ts'
import { bytesOf } from './bytes.ts'
import { range } from './subsets.ts'

/** A cipher whose FLOE header fits its DEK. */
export function testCipher(seed = 1) {
  const dek = bytesOf(32, seed)
  const aad = bytesOf(32, seed + 1)
  return { dek, aad, floeHeader: createFloeHeader(primitives, dek, aad, bytesOf(32, seed + 2)) }
}

/** A sharing of extent `extent`; its opener's keys are `keyMap`. */
export function testSharing(scheme: Scheme, extent = 0) {
  const fragmentKeys = range(scheme.n).map((index) => bytesOf(32, 100 + index))
  return { scheme, extent, fragmentKeys, rowsKey: bytesOf(32, 77), keyMap: new Map(fragmentKeys.entries()) }
}

/** Tools with nonces that repeat from run to run. */
export function testTools(kernel: Kernel): SealerTools {
  let drawn = 0
  return {
    primitives,
    kernel,
    allocate: (bytes) => new Uint8Array(bytes),
    copy: copyBytes,
    randomFill: (target) => {
      target.set(bytesOf(target.length, 1000 + drawn++))
    },
  }
}
