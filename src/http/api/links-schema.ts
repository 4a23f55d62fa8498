import { z } from 'zod'
import { PASSCODE_MAX_CHARS } from '../../domain/link.ts'

/** Body of `POST /recordings/:id/links`. */
export const linkRequest = z
  .strictObject({
    /** "7d", "12h", "30m", or milliseconds; 7 days when left out, 30 at most. */
    expiresIn: z
      .union([z.string().max(20), z.number().int().positive()], { error: 'a time like "7d", or milliseconds' })
      .optional(),
    /** How often the link may be opened; null or left out: as often as one likes. */
    maxViews: z.number().int().min(1).nullable().optional(),
    /** Whether the original may be downloaded. */
    allowDownload: z.boolean().optional(),
    /** To be told besides the link: a text of 6 to 128 characters, or true: one is drawn, and shown once in the answer. */
    passcode: z
      .union([z.string().max(4 * PASSCODE_MAX_CHARS), z.literal(true)], { error: 'a text, or true' })
      .optional(),
  })
  .default({})

const time = z.iso.datetime()

/** Answer of `POST /recordings/:id/links`. The URL is shown this once, and so is a passcode that was drawn. */
export const createdLink = z.strictObject({
  id: z.string(),
  url: z.string(),
  expiresAt: time,
  passcode: z.string().optional(),
})

/** Answer of `GET /recordings/:id/links`. */
export const linkList = z.strictObject({
  links: z.array(
    z.strictObject({
      id: z.string(),
      createdAt: time,
      expiresAt: time,
      revokedAt: time.nullable(),
      viewsCount: z.number(),
      maxViews: z.number().nullable(),
      allowDownload: z.boolean(),
      hasPasscode: z.boolean(),
    }),
  ),
})
