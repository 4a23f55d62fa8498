import { z } from 'zod'
import { MosaikError } from '../domain/errors.ts'
import { nodeSettings, type NodeSettings } from '../ports/node-driver.ts'

const credentials = z.strictObject({ accessKeyId: z.string(), secretAccessKey: z.string() })

/** Settings as an operator gives them, checked. @throws E_INPUT naming the field; never its value */
export function parseNodeSettings(given: unknown): NodeSettings {
  const parsed = nodeSettings.safeParse(given)
  if (parsed.success) return parsed.data
  const words = parsed.error.issues.map((issue) => `${issue.path.join('.') || 'settings'}: ${issue.message}`)
  throw new MosaikError('E_INPUT', `the settings of the node are not right: ${words.join('; ')}`)
}

/** The part for the catalog to show, and the credentials to be wrapped (null when there are none). */
export function splitNodeSettings(settings: NodeSettings): {
  readonly shown: Readonly<Record<string, unknown>>
  readonly secret: Uint8Array | null
} {
  if (settings.driver === 'directory') return { shown: { ...settings }, secret: null }
  const { accessKeyId, secretAccessKey, ...shown } = settings
  return { shown, secret: new TextEncoder().encode(JSON.stringify({ accessKeyId, secretAccessKey })) }
}

/** The settings whole again, from what the catalog keeps. @throws E_INPUT */
export function joinNodeSettings(shown: Readonly<Record<string, unknown>>, secret: Uint8Array | null): NodeSettings {
  return parseNodeSettings({ ...shown, ...(secret && openCredentials(secret)) })
}

function openCredentials(secret: Uint8Array): z.infer<typeof credentials> {
  try {
    return credentials.parse(JSON.parse(new TextDecoder().decode(secret)))
  } catch {
    // Not the cause: what cannot be parsed is quoted there.
    throw new MosaikError('E_INPUT', 'the credentials of the node in the catalog cannot be read; add the node again')
  }
}
