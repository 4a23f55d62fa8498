import { fileURLToPath } from 'node:url'

/** For the environment of a program that a test starts: it starts in half the time with what another one has compiled. */
export const compiled = {
  NODE_COMPILE_CACHE:
    process.env['NODE_COMPILE_CACHE'] ?? fileURLToPath(new URL('../../build/compile-cache', import.meta.url)),
}
