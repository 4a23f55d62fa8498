import { z } from 'zod'

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
  })
  .default({})

const time = z.iso.datetime()

/** Answer of `POST /recordings/:id/links`. The URL is shown this once. */
export const createdLink = z.strictObject({ id: z.string(), url: z.string(), expiresAt: time })

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
    }),
  ),
})
