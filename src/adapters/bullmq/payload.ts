import { z } from 'zod'
import { isId } from '../../domain/ids.ts'
import type { Job } from '../../ports/jobs.ts'

/** Version of what lies in Redis. Another release may have put there what this one does not know. */
const version = 1

const payload = z.strictObject({
  version: z.literal(version),
  work: z.string().refine(isId),
  attempt: z.number().int().nonnegative(),
})

/** What Redis holds of a job: ids and numbers, nothing else, since it lies there in clear. */
export type JobPayload = z.infer<typeof payload>

export function toPayload(job: Job): JobPayload {
  return { version, work: job.workId, attempt: job.attempt }
}

/** The job, or why it is none. */
export function readPayload(data: unknown): Job | { readonly refused: string } {
  const found = (data as { version?: unknown } | null | undefined)?.version
  if (found !== version) return { refused: `version ${typeof found === 'number' ? found : 'unknown'}` }
  const parsed = payload.safeParse(data)
  if (!parsed.success)
    return { refused: `fields ${parsed.error.issues.map((issue) => issue.path.join('.')).join(', ')}` }
  return { workId: parsed.data.work, attempt: parsed.data.attempt }
}

/** One job an attempt: repeating it while it waits or runs changes nothing, a later attempt is another job. */
export function jobId(job: Job): string {
  return `${job.workId}-${job.attempt}`
}
