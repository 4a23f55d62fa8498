import { z } from 'zod'
import { recordingStates } from '../../domain/recording.ts'

/** Recordings a page of the list when nothing is said, and at most. */
const PAGE_COUNT = 50
const MAX_PAGE_COUNT = 100

/** Query of `GET /recordings`. */
export const listQuery = z.strictObject({
  search: z.string().max(200).optional(),
  state: z.enum(recordingStates).optional(),
  /** The host's id as the source gave it. */
  host: z.string().min(1).max(200).optional(),
  limit: z.coerce.number().int().min(1).max(MAX_PAGE_COUNT).default(PAGE_COUNT),
  /** `next` of the page before. */
  cursor: z.string().max(100).optional(),
})

/** Query or body of requests that take none. */
export const nothing = z.strictObject({}).optional()

const time = z.iso.datetime()
const reason = z.strictObject({ code: z.string(), message: z.string() })
/** 0 to 1, or null when nothing is known yet. */
const fraction = z.number().min(0).max(1).nullable()

/** A recording in a list. */
export const recordingItem = z.strictObject({
  id: z.string(),
  title: z.string(),
  state: z.enum(recordingStates),
  hostId: z.string(),
  source: z.string(),
  externalId: z.string().nullable(),
  startedAt: time.nullable(),
  createdAt: time,
  storedAt: time.nullable(),
  contentBytes: z.number().nullable(),
  durationMs: z.number().nullable(),
  scheme: z.strictObject({ k: z.number(), n: z.number(), t: z.number() }),
  generation: z.number(),
  reason: reason.nullable(),
  progress: z.strictObject({ store: fraction, transcode: fraction }),
})

/** Answer of `GET /recordings`. */
export const recordingList = z.strictObject({
  recordings: z.array(recordingItem),
  /** Cursor of the next page; null on the last one. */
  next: z.string().nullable(),
})

/** Answer of `GET /recordings/:id`. */
export const recordingDetail = recordingItem.extend({
  work: z.array(
    z.strictObject({
      id: z.string(),
      stage: z.enum(['store', 'transcode', 'release']),
      state: z.enum(['pending', 'running', 'done', 'failed']),
      attemptsCount: z.number(),
      error: reason.nullable(),
    }),
  ),
})

/** Answer of `GET /recordings/:id/events`. */
export const eventList = z.strictObject({
  events: z.array(
    z.strictObject({
      at: time,
      kind: z.string(),
      fields: z.record(z.string(), z.union([z.string(), z.number(), z.boolean(), z.null()])),
    }),
  ),
})

/** Answer of `POST /recordings/:id/retry`. */
export const retryAnswer = z.strictObject({
  id: z.string(),
  work: z.array(z.strictObject({ id: z.string(), stage: z.enum(['store', 'transcode', 'release']) })),
})

export type ListQuery = z.infer<typeof listQuery>
export type RecordingItem = z.infer<typeof recordingItem>
export type RecordingDetail = z.infer<typeof recordingDetail>
