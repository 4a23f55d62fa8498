import { z } from 'zod'
import { PASSCODE_MAX_CHARS } from '../../domain/link.ts'
import { answerSchemas, idSchema, requestSchemas, timeSchema, told } from './described.ts'

/** Body of `POST /recordings/:id/links`. */
export const linkRequest = z
  .strictObject({
    expiresIn: told(
      z
        .union([z.string().max(20), z.number().int().positive()], { error: 'a time like "7d", or milliseconds' })
        .optional(),
      '"7d", "12h", "30m", or milliseconds; 7 days when left out, 30 at most.',
      '"7d", "12h", "30m" oder Millisekunden; ohne Angabe 7 Tage, höchstens 30.',
    ),
    maxViews: told(
      z.number().int().min(1).nullable().optional(),
      'How often it may be opened; null or left out: as often as one likes.',
      'Wie oft er geöffnet werden darf; null oder ohne Angabe: beliebig oft.',
    ),
    allowDownload: told(
      z.boolean().optional(),
      'Whether viewers may take files away.',
      'Ob Zuschauer Dateien mitnehmen dürfen.',
    ),
    passcode: told(
      z.union([z.string().max(4 * PASSCODE_MAX_CHARS), z.literal(true)], { error: 'a text, or true' }).optional(),
      'To be told besides the link: 6 to 128 characters; or true: one is drawn, and shown once in the answer.',
      'Neben dem Link mitzuteilen: 6 bis 128 Zeichen; oder true: einer wird gezogen und einmal in der Antwort gezeigt.',
    ),
  })
  .register(requestSchemas, { id: 'LinkRequest' })

/** Answer of `POST /recordings/:id/links`. */
export const createdLink = z
  .strictObject({
    id: idSchema,
    url: told(
      z.string(),
      'Shown this once, and kept nowhere.',
      'Wird nur dieses eine Mal gezeigt und nirgends aufbewahrt.',
    ),
    expiresAt: timeSchema,
    passcode: told(z.string().optional(), 'Only one that was drawn.', 'Nur einer, der gezogen wurde.'),
  })
  .register(answerSchemas, { id: 'NewLink' })

/** Answer of `GET /recordings/:id/links`. */
export const linkList = z
  .strictObject({
    links: z.array(
      z.strictObject({
        id: idSchema,
        createdAt: timeSchema,
        expiresAt: timeSchema,
        revokedAt: timeSchema.nullable(),
        viewsCount: z.number(),
        maxViews: z.number().nullable(),
        allowDownload: z.boolean(),
        hasPasscode: z.boolean(),
      }),
    ),
  })
  .register(answerSchemas, { id: 'LinkList' })
