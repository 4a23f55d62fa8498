import { z } from 'zod'
import { answerSchemas, idSchema, timeSchema, told } from './described.ts'

/** Query of `GET /work`. */
export const workQuery = z.strictObject({
  limit: told(
    z.coerce.number().int().min(1).max(100).default(50),
    'Recordings looked at for each state.',
    'Aufzeichnungen, die je Zustand angesehen werden.',
  ),
})

/** Answer of `GET /work`: no titles, no names of files. */
export const workList = z
  .strictObject({
    work: z.array(
      z.strictObject({
        id: idSchema,
        recording: idSchema,
        stage: z.enum(['store', 'transcode', 'release']),
        state: z.enum(['pending', 'running', 'failed']),
        attemptsCount: z.number(),
        runAt: told(timeSchema, 'When waiting work is due.', 'Wann wartende Arbeit fällig ist.'),
        progress: z.number().min(0).max(1).nullable(),
        error: told(
          z.strictObject({ code: z.string(), message: z.string().nullable() }).nullable(),
          'The message is withheld (null) where it could name a recording or its file.',
          'Die Meldung fehlt (null), wo sie eine Aufzeichnung oder deren Datei nennen könnte.',
        ),
      }),
    ),
  })
  .register(answerSchemas, { id: 'WorkList' })
