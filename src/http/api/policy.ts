import { Router } from 'express'
import { z } from 'zod'
import { checkScheme } from '../../domain/dispersal.ts'
import { MosaikError } from '../../domain/errors.ts'
import type { Id } from '../../domain/ids.ts'
import { acceptsWrites } from '../../domain/node.ts'
import { choosePlacement } from '../../domain/placement.ts'
import type { InstallationCatalog, OrganisationRow } from '../../ports/catalog/access.ts'
import { sendJson } from '../headers.ts'
import { allow, callerOf } from './authenticate.ts'
import { parsed } from './parsed.ts'

/** Body of `PATCH /policy`: what new recordings get. */
export const policyChange = z.strictObject({
  scheme: z.strictObject({ k: z.int(), n: z.int(), t: z.int() }).optional(),
  placementRule: z.enum(['strict', 'none']).optional(),
})

/** `/policy`: scheme and placement rule of the organisation's new recordings. What is stored already stays as it is. */
export function policyRoutes({
  catalog,
}: {
  readonly catalog: { readonly installation: InstallationCatalog }
}): Router {
  const router = Router({ caseSensitive: true })
  router.use('/policy', allow('operator'))

  router.get('/policy', async (request, response) => {
    sendJson(response, 200, policyOf(await find(callerOf(request).organisation)))
  })

  router.patch('/policy', async (request, response) => {
    const { scheme, placementRule } = parsed(policyChange, request.body, 'the body')
    const row = await find(callerOf(request).organisation)
    const policy = { scheme: scheme ?? row.scheme, placementRule: placementRule ?? row.placementRule }
    checkScheme(policy.scheme)
    // A policy that no node can meet would stop all deposits: refused here, in the placement rule's own words.
    choosePlacement(policy.scheme, policy.placementRule, (await catalog.installation.nodes()).filter(acceptsWrites))
    await catalog.installation.setOrganisationPolicy(row.id, policy)
    sendJson(response, 200, policy)
  })

  async function find(id: Id): Promise<OrganisationRow> {
    const row = await catalog.installation.organisation(id)
    if (!row) throw new MosaikError('E_INPUT', 'the organisation is gone')
    return row
  }
  return router
}

function policyOf({ scheme, placementRule }: OrganisationRow): Pick<OrganisationRow, 'scheme' | 'placementRule'> {
  return { scheme, placementRule }
}
