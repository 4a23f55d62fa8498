import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { MosaikError } from '../domain/errors.ts'

/** A secret key in an HSM, and how it is reached. */
export interface HsmSettings {
  /** Path of the maker's PKCS#11 module, a shared library. */
  readonly module: string
  /** Label of the token. */
  readonly token: string
  /** Label of the secret key on it. */
  readonly key: string
  /** Of the token's user. */
  readonly pin: string
  /** Environment of the child: makers' modules have variables of their own. */
  readonly environment: NodeJS.ProcessEnv
}

/** HMAC-SHA-256 under a key that never leaves the HSM. */
export interface Hsm {
  /**
   * 32 bytes.
   * @throws E_SETUP, E_HSM_MODULE, E_HSM_TOKEN, E_HSM_PIN, E_HSM_KEY
   */
  hmac(message: Uint8Array): Promise<Uint8Array>
}

const PROGRAM = 'pkcs11-tool'
const TIMEOUT_MS = 30_000
const HMAC_BYTES = 32
/** The child reads the PIN from it, so that it stands on no command line. */
const PIN_VARIABLE = 'MOSAIK_HSM_PIN'

/**
 * An HSM through OpenSC's pkcs11-tool, a process for each question. Logs in only when the token allows more than one wrong PIN, and never
 * tries one twice.
 */
export function hsmByTool(settings: HsmSettings): Hsm {
  const { module, token, key, pin } = settings
  const tool = async (args: readonly string[], input?: Uint8Array): Promise<Answer> => {
    const environment = { ...settings.environment, [PIN_VARIABLE]: pin }
    return await runTool(['--module', module, ...args], environment, input)
  }
  const login = ['--token-label', token, '--login', '--pin', `env:${PIN_VARIABLE}`]
  return {
    async hmac(message) {
      if (!existsSync(module)) {
        throw new MosaikError('E_HSM_MODULE', `there is no PKCS#11 module ${module}: set hsmModule to its path`)
      }
      if (pin === '') throw new MosaikError('E_HSM_PIN', 'the PIN of the HSM is empty')
      await checkToken(await tool(['--list-slots']), settings)
      const listed = await tool([...login, '--list-objects', '--type', 'secrkey'])
      if (listed.code !== 0) throw troubleOf(listed, settings)
      // By its id: for signing, the tool of Debian 12 does not look at labels and takes the first key there is.
      const id = idOfKey(listed.output.toString('utf8'), settings)
      const signed = await tool([...login, '--sign', '--mechanism', 'SHA256-HMAC', '--id', id], message)
      if (signed.code !== 0) throw troubleOf(signed, settings)
      if (signed.output.length !== HMAC_BYTES) {
        throw new MosaikError(
          'E_HSM_KEY',
          `the HSM answered ${signed.output.length} bytes where HMAC-SHA-256 has ${HMAC_BYTES}: is the key "${key}" a generic secret key?`,
        )
      }
      return new Uint8Array(signed.output)
    },
  }
}

interface Answer {
  readonly code: number | null
  readonly output: Buffer
  readonly trouble: string
}

/** That the token is there, and that a wrong PIN now would not lock it. */
async function checkToken({ code, output, trouble }: Answer, { module, token }: HsmSettings): Promise<void> {
  if (/failed to load pkcs11 module|sc_dlopen failed/i.test(trouble) || code === null) {
    throw new MosaikError('E_HSM_MODULE', `${module} is no PKCS#11 module that can be loaded here`)
  }
  const slots = output.toString('utf8').split(/^(?=Slot )/m)
  const slot = slots.find((text) => valueOf(text, 'token label') === token)
  if (slot === undefined) throw noToken(token)
  const flags = valueOf(slot, 'token flags') ?? ''
  if (flags.includes('user PIN locked')) {
    throw new MosaikError('E_HSM_PIN', `the user PIN of token "${token}" is locked; its security officer unlocks it`)
  }
  if (flags.includes('final user PIN try')) {
    throw new MosaikError(
      'E_HSM_PIN',
      `token "${token}" allows one more try of its PIN, and this does not use it up: log in by hand with the right one (\`pkcs11-tool --login --test\`) first`,
    )
  }
}

/** The id, hexadecimal, of the one secret key with that label. */
function idOfKey(text: string, { token, key }: HsmSettings): string {
  const found = text.split(/^(?=Secret Key Object)/m).filter((object) => valueOf(object, 'label') === key)
  const [first] = found
  if (first === undefined) {
    throw new MosaikError(
      'E_HSM_KEY',
      `token "${token}" has no secret key with the label "${key}" that this user may see`,
    )
  }
  if (found.length > 1) {
    throw new MosaikError('E_HSM_KEY', `token "${token}" has ${found.length} secret keys with the label "${key}"`)
  }
  const id = valueOf(first, 'ID')
  if (id === undefined || !/^([0-9a-f]{2})+$/i.test(id)) {
    throw new MosaikError('E_HSM_KEY', `the key "${key}" on token "${token}" has no id: give it one`)
  }
  return id
}

/** What stands behind `name:` on a line of its own. */
function valueOf(text: string, name: string): string | undefined {
  const line = text
    .split('\n')
    .find((one) => one.trimStart().startsWith(`${name} `) || one.trimStart().startsWith(`${name}:`))
  return line?.slice(line.indexOf(':') + 1).trim()
}

function troubleOf({ code, trouble }: Answer, { token, key }: HsmSettings): MosaikError {
  if (/CKR_PIN_(INCORRECT|INVALID|LEN_RANGE)/.test(trouble)) {
    return new MosaikError(
      'E_HSM_PIN',
      `token "${token}" does not take the PIN. It is tried once a start: after a few wrong ones the token locks`,
    )
  }
  if (/CKR_PIN_(LOCKED|EXPIRED)/.test(trouble)) {
    return new MosaikError('E_HSM_PIN', `the user PIN of token "${token}" is locked or expired`)
  }
  if (/No slot with token named|CKR_TOKEN_NOT_PRESENT/.test(trouble)) return noToken(token)
  if (/Could not find key|CKR_KEY_|CKR_MECHANISM_INVALID/.test(trouble)) {
    return new MosaikError('E_HSM_KEY', `the key "${key}" on token "${token}" cannot be used for HMAC-SHA-256`)
  }
  if (code === null)
    return new MosaikError('E_HSM_TOKEN', `token "${token}" did not answer within ${TIMEOUT_MS / 1000} s`)
  const name = /CKR_[A-Z_]+/.exec(trouble)?.[0] ?? `exit code ${code}`
  return new MosaikError('E_HSM_TOKEN', `token "${token}" cannot be used now (${name})`)
}

function noToken(token: string): MosaikError {
  return new MosaikError('E_HSM_TOKEN', `the HSM shows no token with the label "${token}": is it there, and connected?`)
}

/** The child to its end; code null when it was too slow. Its words are for us alone: they may quote anything. */
async function runTool(
  args: readonly string[],
  environment: NodeJS.ProcessEnv,
  input: Uint8Array | undefined,
): Promise<Answer> {
  return await new Promise((resolve, reject) => {
    const child = spawn(PROGRAM, args, { env: environment, stdio: ['pipe', 'pipe', 'pipe'], timeout: TIMEOUT_MS })
    const output: Buffer[] = []
    let trouble = ''
    child.stdout.on('data', (chunk: Buffer) => output.push(chunk))
    child.stderr.on('data', (chunk: Buffer) => (trouble += chunk.toString('utf8')))
    child.once('error', (error) =>
      reject(new MosaikError('E_SETUP', `${PROGRAM} cannot be run: install OpenSC (Debian: opensc)`, {}, error)),
    )
    child.once('close', (code) => resolve({ code, output: Buffer.concat(output), trouble }))
    // A child that failed reads nothing.
    child.stdin.on('error', () => undefined)
    child.stdin.end(input)
  })
}
