import { registerHooks } from 'node:module'

/**
 * Loaded before the simulation (`node --import`): puts the look-alikes in the place of the slow public-key algorithms, for
 * src/adapters/node-primitives.ts and src/crypto/kem.ts alone. Everything symmetric is the real thing.
 */
const replaced = ['./native-signatures.ts', './native-kem.ts', '@noble/post-quantum/hybrid.js']
const replacedFor = ['/src/adapters/node-primitives.ts', '/src/crypto/kem.ts']

registerHooks({
  resolve(specifier, context, next) {
    const isReplaced = replaced.includes(specifier) && replacedFor.some((path) => context.parentURL?.endsWith(path))
    return isReplaced ? next('./look-alikes.ts', { ...context, parentURL: import.meta.url }) : next(specifier, context)
  },
})
