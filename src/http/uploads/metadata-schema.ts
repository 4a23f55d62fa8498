import { z } from 'zod'
import { CAPTIONS_MAX } from '../../domain/captions.ts'
import { isId } from '../../domain/ids.ts'
import { answerSchemas, idSchema as id, told } from '../api/described.ts'
import { safeFileName } from '../headers.ts'

const words = (maxLength: number) =>
  z
    .string()
    .trim()
    .min(1, 'must not be empty')
    .max(maxLength, `must have at most ${maxLength} characters`)
    .refine((text) => !/[\u0000-\u001f\u007f]/.test(text), 'must not hold control characters')

const filename = words(1_000).transform(safeFileName)
const sha256 = z
  .string()
  .toLowerCase()
  .regex(/^[0-9a-f]{64}$/, 'must be 64 hexadecimal digits')

/** Upload-Metadata of captions that a later recording names. */
export const captionsMetadata = z.strictObject({
  kind: z.literal('captions'),
  filename: filename.default('captions.vtt'),
  /** Sent by many clients; what a file is, is found out from the file. */
  filetype: z.string().nullable().optional(),
  sha256: sha256.optional(),
})

/** Upload-Metadata of a recording. */
export const recordingMetadata = z.strictObject({
  kind: z.literal('recording').default('recording'),
  filename,
  filetype: z.string().nullable().optional(),
  /** The file's name without its ending when left out. */
  title: words(500).optional(),
  /** Id of the host, as the sender knows people. */
  host: words(200),
  hostName: words(200).optional(),
  hostEmail: words(320).optional(),
  startedAt: z.iso
    .datetime({ offset: true, error: 'must be a time with its zone, like 2026-11-23T08:00:00+01:00' })
    .optional(),
  /** The meeting system or tool that the recording comes from. */
  source: z
    .string()
    .regex(/^[a-z0-9][a-z0-9._-]{0,63}$/, 'must be a short name of lower-case letters, digits, dots and dashes')
    .default('upload'),
  /** The source's own id: a second upload with the same one finds the first recording. The upload's id when left out. */
  externalId: words(500).optional(),
  /** Of the whole file; the vault refuses content that has another one. */
  sha256: sha256.optional(),
  /** Ids of complete uploads of kind `captions`, one for each language, with a comma in between. */
  captionsUpload: z
    .string()
    .transform((text) => text.replace(/\s+/g, ''))
    .refine((text) => text.split(',').every(isId), 'must be ids of uploads, with a comma in between')
    .refine((text) => new Set(text.split(',')).size === text.split(',').length, 'must not name an upload twice')
    .refine((text) => text.split(',').length <= CAPTIONS_MAX, `must name at most ${CAPTIONS_MAX} uploads`)
    .optional(),
})

/** Answer of `GET /uploads/:id`. */
export const uploadView = z
  .strictObject({
    id,
    state: z.enum(['receiving', 'complete', 'consumed', 'aborted']),
    offsetBytes: z.number(),
    lengthBytes: z.number().nullable(),
    recording: told(
      id.nullable(),
      'The recording that was made of it; null until the upload is complete, and for captions until a recording names them.',
      'Die Aufzeichnung, die daraus wurde; null, bis alles da ist, und bei Untertiteln, bis eine Aufzeichnung sie nennt.',
    ),
  })
  .register(answerSchemas, { id: 'Upload' })

export type RecordingMetadata = z.infer<typeof recordingMetadata>
