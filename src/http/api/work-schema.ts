import { z } from 'zod'

/** Query of `GET /work`. */
export const workQuery = z.strictObject({
  /** Recordings looked at for each state. */
  limit: z.coerce.number().int().min(1).max(100).default(50),
})

/** Answer of `GET /work`: no titles, no names of files. */
export const workList = z.strictObject({
  work: z.array(
    z.strictObject({
      id: z.string(),
      recording: z.string(),
      stage: z.enum(['store', 'transcode', 'release']),
      state: z.enum(['pending', 'running', 'failed']),
      attemptsCount: z.number(),
      /** When waiting work is due. */
      runAt: z.iso.datetime(),
      progress: z.number().min(0).max(1).nullable(),
      /** The message is withheld (null) where it could name a recording or its file. */
      error: z.strictObject({ code: z.string(), message: z.string().nullable() }).nullable(),
    }),
  ),
})
