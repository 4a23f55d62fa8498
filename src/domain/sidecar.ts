import { z } from 'zod'
import { MosaikError } from './errors.ts'

/** Largest sidecar; people of a meeting of thousands fit in. */
export const SIDECAR_MAX_BYTES = 1024 * 1024

const text = (maxLength: number) => z.string().trim().max(maxLength)
const person = z.strictObject({ id: text(200).optional(), name: text(200).optional(), email: text(320).optional() })

/** The file beside a recording that says what it is: our own JSON, version 1. */
const sidecarSchema = z.strictObject({
  v: z.literal(1),
  /** Where the recording comes from: a short name. */
  source: z
    .string()
    .regex(/^[a-z0-9][a-z0-9._-]{0,63}$/, 'must be a short name of lower-case letters, digits, dots and dashes')
    .optional(),
  /** The source's own id; the same one is never stored twice. */
  externalId: z.string().trim().min(1).max(500).optional(),
  title: text(500).optional(),
  startedAt: z.iso
    .datetime({ offset: true, error: 'must be a time with its zone, like 2026-11-23T08:01:00+01:00' })
    .optional(),
  durationSec: z.number().nonnegative().optional(),
  host: person.optional(),
  participants: z.array(person).max(2000).optional(),
  /** What belongs to it: names beside the sidecar, without folders. */
  files: z
    .array(
      z.strictObject({
        path: z
          .string()
          .min(1)
          .max(255)
          .refine(
            (path) => !/[/\\\0]/.test(path) && path !== '.' && path !== '..',
            'must be a name beside the sidecar',
          ),
        kind: z.enum(['video', 'audio', 'captions']),
        sha256: z
          .string()
          .toLowerCase()
          .regex(/^[0-9a-f]{64}$/, 'must be 64 hexadecimal digits')
          .optional(),
      }),
    )
    .optional(),
})

/** A sidecar that was read and checked. */
export type Sidecar = z.infer<typeof sidecarSchema>

/** @throws E_INPUT naming every field that is wrong, never its value */
export function parseSidecar(json: string): Sidecar {
  let value: unknown
  try {
    value = JSON.parse(json)
  } catch {
    throw new MosaikError('E_INPUT', 'the sidecar is not valid JSON')
  }
  const result = sidecarSchema.safeParse(value, { reportInput: false })
  if (result.success) return result.data
  const words = result.error.issues.map((issue) => {
    const path = issue.path.join('.')
    const message =
      issue.code === 'unrecognized_keys' ? `there is no field ${issue.keys.join(', ').slice(0, 200)}` : issue.message
    return path === '' ? message : `${path}: ${message}`
  })
  throw new MosaikError('E_INPUT', `the sidecar is not right: ${words.slice(0, 10).join('; ')}`)
}
