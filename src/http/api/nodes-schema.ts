import { z } from 'zod'
import { nodeStates } from '../../domain/node.ts'

/** Body of `POST /nodes`. What settings a driver takes is the driver's to say. */
export const nodeRequest = z.strictObject({
  name: z.string().min(1).max(64),
  /** ISO 3166-1 alpha-2. */
  country: z.string().min(2).max(2),
  operator: z.string().min(1).max(100),
  /** Company that owns the operator; the operator itself when independent. */
  parent: z.string().min(1).max(100),
  /** Data centre. */
  site: z.string().min(1).max(100),
  settings: z.record(z.string(), z.unknown()),
})

/** Body of `PATCH /nodes/:id`. */
export const nodeChange = z.strictObject({ state: z.enum(['active', 'read-only']) })

/** A node as operators see it: settings without secrets. */
export const nodeReport = z.strictObject({
  id: z.string(),
  name: z.string(),
  driver: z.enum(['directory', 's3']),
  state: z.enum(nodeStates),
  country: z.string(),
  operator: z.string(),
  parent: z.string(),
  site: z.string(),
  settings: z.record(z.string(), z.unknown()),
  capabilities: z.record(z.string(), z.unknown()),
  objectsCount: z.number(),
  bytes: z.number(),
  trouble: z.strictObject({ code: z.string(), message: z.string() }).nullable(),
})

/** Answer of `GET /nodes`. */
export const nodeList = z.strictObject({ nodes: z.array(nodeReport) })
