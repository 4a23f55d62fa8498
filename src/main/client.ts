import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { z } from 'zod'
import { MosaikError, errorCodes, type ErrorCode } from '../domain/errors.ts'
import type { Role } from '../domain/roles.ts'
import { remoteVault, type Config } from './config.ts'

/** What a running vault leaves for clients of the same user: `run.json` in the data folder, mode 0600. */
export const runFile = z.strictObject({
  pid: z.number(),
  url: z.string(),
  tokens: z.strictObject({ host: z.string(), operator: z.string(), admin: z.string() }),
})

export const RUN_FILE = 'run.json'

type Tokens = Readonly<Partial<Record<Role, string>>>

/** A vault as the command line sees it: its API under a role's token. */
export class VaultClient {
  readonly url: string
  readonly #renew: () => Tokens | undefined
  #tokens: Tokens

  /** @param renew the tokens that count now, where those of the beginning may have been replaced */
  constructor(url: string, tokens: Tokens, renew: () => Tokens | undefined = () => undefined) {
    this.url = url.replace(/\/$/, '')
    this.#tokens = tokens
    this.#renew = renew
  }

  token(role: Role): string {
    this.#tokens = this.#renew() ?? this.#tokens
    const token = this.#tokens[role]
    if (token === undefined) throw new MosaikError('E_UNAUTHORIZED', `there is no token for the role ${role}`)
    return token
  }

  async get(role: Role, path: string): Promise<unknown> {
    return await this.#call(role, 'GET', path, undefined)
  }

  async post(role: Role, path: string, body: unknown = {}): Promise<unknown> {
    return await this.#call(role, 'POST', path, body)
  }

  async delete(role: Role, path: string): Promise<unknown> {
    return await this.#call(role, 'DELETE', path, undefined)
  }

  async patch(role: Role, path: string, body: unknown): Promise<unknown> {
    return await this.#call(role, 'PATCH', path, body)
  }

  async #call(role: Role, method: string, path: string, body: unknown): Promise<unknown> {
    let response: Response
    try {
      response = await fetch(`${this.url}/api/v1${path}`, {
        method,
        headers: {
          authorization: `Bearer ${this.token(role)}`,
          ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      })
    } catch (error) {
      throw new MosaikError(
        'E_NODE_UNREACHABLE',
        `no vault answers at ${this.url}; is it running? (\`npm start\`)`,
        {},
        error,
      )
    }
    const text = await response.text()
    const parsed: unknown = text === '' ? undefined : JSON.parse(text)
    if (response.ok) return parsed
    throw problemToError(parsed, response.status)
  }
}

const problem = z.object({ code: z.string(), detail: z.string().optional(), title: z.string().optional() })

function problemToError(body: unknown, status: number): MosaikError {
  const parsed = problem.safeParse(body)
  if (!parsed.success) return new MosaikError('E_INTERNAL', `the vault answered ${status}`)
  const { code, detail, title } = parsed.data
  const known = code in errorCodes ? (code as ErrorCode) : 'E_INTERNAL'
  return new MosaikError(known, detail ?? title ?? `the vault answered ${status}`)
}

/** The vault that this command talks to: MOSAIK_URL, else the one that runs on the data folder. `undefined` when none runs. */
export function findVault(config: Pick<Config, 'data'>): VaultClient | undefined {
  const remote = remoteVault()
  if (remote)
    return new VaultClient(remote.url, {
      host: remote.token,
      operator: remote.token,
      officer: remote.token,
      auditor: remote.token,
      admin: remote.token,
    })
  const run = runningOn(config)
  return run && new VaultClient(run.url, run.tokens, () => runningOn(config)?.tokens)
}

/** What the vault that runs on the data folder has left; `undefined` when none runs. */
function runningOn(config: Pick<Config, 'data'>): z.output<typeof runFile> | undefined {
  try {
    const run = runFile.parse(JSON.parse(readFileSync(join(config.data, RUN_FILE), 'utf8')))
    process.kill(run.pid, 0)
    return run
  } catch {
    return undefined
  }
}

/** @throws E_NODE_UNREACHABLE saying how to start one */
export function requireVault(config: Pick<Config, 'data'>): VaultClient {
  const client = findVault(config)
  if (client) return client
  throw new MosaikError(
    'E_NODE_UNREACHABLE',
    `no vault is running on ${config.data}; start one with \`npm start\`, or name one with MOSAIK_URL and MOSAIK_TOKEN`,
  )
}
