import { MosaikError } from './errors.ts'

/** 16 random bytes as 32 lower-case hexadecimal digits; the form used in the catalog, on the wire and in logs. */
export type Id = string

const idPattern = /^[0-9a-f]{32}$/

export function isId(text: string): boolean {
  return idPattern.test(text)
}

/** @throws E_INPUT naming `what` when the text is not 32 lower-case hexadecimal digits. */
export function parseId(text: string, what: string): Id {
  if (!isId(text)) throw new MosaikError('E_INPUT', `${what} must be 32 lower-case hexadecimal digits`)
  return text
}

/** Bytes as lower-case hexadecimal. */
export function toHex(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('')
}

/** @throws E_INPUT when the text is not hexadecimal digits in pairs. */
export function fromHex(text: string): Uint8Array<ArrayBuffer> {
  if (text.length % 2 !== 0 || !/^[0-9a-f]*$/.test(text)) {
    throw new MosaikError('E_INPUT', 'not lower-case hexadecimal digits in pairs')
  }
  const bytes = new Uint8Array(text.length / 2)
  for (let i = 0; i < bytes.length; i++) bytes[i] = Number.parseInt(text.slice(2 * i, 2 * i + 2), 16)
  return bytes
}
