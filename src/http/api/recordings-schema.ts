import { z } from 'zod'
import { recordingStates } from '../../domain/recording.ts'
import { answerSchemas, idSchema, timeSchema, told } from './described.ts'

/** Recordings a page of the list when nothing is said, and at most. */
const PAGE_COUNT = 50
const MAX_PAGE_COUNT = 100

const state = told(
  z.enum(recordingStates),
  'received, storing: on its way to the nodes; stored: the original is safe; transcoding; ready: it plays; unplayable: safe, but cannot be played; failed: could not be stored',
  'received, storing: auf dem Weg zu den Speicherknoten; stored: das Original ist sicher; transcoding: wird umgewandelt; ready: spielbar; unplayable: sicher, aber nicht spielbar; failed: konnte nicht gespeichert werden',
)

/** Query of `GET /recordings`. */
export const listQuery = z.strictObject({
  search: told(
    z.string().max(200).optional(),
    'Words that must all begin a word of the title, without case.',
    'Wörter, mit denen je ein Wort des Titels beginnen muss; Groß- und Kleinschreibung zählt nicht.',
  ),
  state: z.enum(recordingStates).optional(),
  host: told(
    z.string().min(1).max(200).optional(),
    "The host's id, as the source gave it.",
    'Kennung des Gastgebers, wie die Quelle sie genannt hat.',
  ),
  limit: told(
    z.coerce.number().int().min(1).max(MAX_PAGE_COUNT).default(PAGE_COUNT),
    'Recordings a page.',
    'Aufzeichnungen je Seite.',
  ),
  cursor: told(
    z.string().max(100).optional(),
    '`next` of the page before; the order is newest first.',
    '`next` der Seite davor; die neuesten stehen vorn.',
  ),
})

const reason = told(
  z.strictObject({ code: z.string(), message: z.string() }),
  'Why: a stable code, and words.',
  'Warum: ein fester Code und Worte.',
)
const fraction = told(
  z.number().min(0).max(1).nullable(),
  '0 to 1; null while nothing is known.',
  '0 bis 1; null, solange nichts bekannt ist.',
)
const stage = z.enum(['store', 'transcode', 'release'])

/** A recording in a list. */
export const recordingItem = z
  .strictObject({
    id: idSchema,
    title: z.string(),
    state,
    hostId: told(
      z.string(),
      "The host's id, as the source gave it.",
      'Kennung des Gastgebers, wie die Quelle sie genannt hat.',
    ),
    source: told(z.string(), 'What it came from.', 'Woher sie kam.'),
    externalId: told(z.string().nullable(), "The source's own id.", 'Die eigene Kennung der Quelle.'),
    startedAt: told(timeSchema.nullable(), 'When the meeting began.', 'Wann die Besprechung begann.'),
    createdAt: told(timeSchema, 'When it was deposited.', 'Wann sie hinterlegt wurde.'),
    storedAt: told(
      timeSchema.nullable(),
      'Since when the original is safe.',
      'Seit wann das Original sicher gespeichert ist.',
    ),
    contentBytes: told(z.number().nullable(), 'Size of the original.', 'Größe des Originals.'),
    durationMs: z.number().nullable(),
    scheme: told(
      z.strictObject({ k: z.number(), n: z.number(), t: z.number() }),
      'Any k of n nodes restore it, any t learn nothing.',
      'Je k von n Knoten stellen sie her, je t erfahren nichts.',
    ),
    generation: told(z.number(), 'Of the manifest; 0 before the first.', 'Des Manifests; 0 vor dem ersten.'),
    reason: reason.nullable(),
    progress: z.strictObject({ store: fraction, transcode: fraction }),
  })
  .register(answerSchemas, { id: 'Recording' })

/** Answer of `GET /recordings`. */
export const recordingList = z
  .strictObject({
    recordings: z.array(recordingItem),
    next: told(
      z.string().nullable(),
      'Cursor of the next page; null on the last one.',
      'Marke der nächsten Seite; null auf der letzten.',
    ),
  })
  .register(answerSchemas, { id: 'RecordingList' })

/** Answer of `GET /recordings/:id`. */
export const recordingDetail = recordingItem
  .extend({
    work: told(
      z.array(
        z.strictObject({
          id: idSchema,
          stage,
          state: z.enum(['pending', 'running', 'done', 'failed']),
          attemptsCount: z.number(),
          error: reason.nullable(),
        }),
      ),
      'What was, is and will be done with it.',
      'Was damit getan wurde, wird und noch zu tun ist.',
    ),
  })
  .register(answerSchemas, { id: 'RecordingDetail' })

/** Values of an event or an entry of the audit. */
export const plainFields = z.record(z.string(), z.union([z.string(), z.number(), z.boolean(), z.null()]))

/** Answer of `GET /recordings/:id/events`. */
export const eventList = z
  .strictObject({
    events: z.array(z.strictObject({ at: timeSchema, kind: z.string(), fields: plainFields })),
  })
  .register(answerSchemas, { id: 'EventList' })

/** Answer of `POST /recordings/:id/retry`. */
export const retryAnswer = z
  .strictObject({
    id: idSchema,
    work: z.array(z.strictObject({ id: idSchema, stage })),
    note: told(z.string().nullable(), 'Why nothing is tried again.', 'Warum nichts noch einmal versucht wird.'),
  })
  .register(answerSchemas, { id: 'Retry' })

/** Answer of `GET /recordings/:id/downloads`. */
export const downloadList = z
  .strictObject({
    downloads: z.array(
      z.strictObject({
        id: told(idSchema, 'Goes behind `/downloads/`.', 'Gehört hinter `/downloads/`.'),
        kind: z.enum(['original', 'rendition', 'captions']),
        name: told(z.string(), 'As a file.', 'Als Datei.'),
        mediaType: z.string(),
        sizeBytes: z.number(),
        width: told(z.number().nullable(), 'Of a picture.', 'Eines Bildes.'),
        height: z.number().nullable(),
      }),
    ),
  })
  .register(answerSchemas, { id: 'DownloadList' })

export type RecordingItem = z.input<typeof recordingItem>
export type RecordingDetail = z.input<typeof recordingDetail>
