import { checkScheme } from '../../domain/dispersal.ts'
import { MosaikError } from '../../domain/errors.ts'
import type { Id } from '../../domain/ids.ts'
import { acceptsWrites } from '../../domain/node.ts'
import { choosePlacement } from '../../domain/placement.ts'
import type { InstallationCatalog, OrganisationRow } from '../../ports/catalog/access.ts'
import { policy, policyChange } from './access-schema.ts'
import { operation, type Operation } from './operation.ts'

/** `/policy`: scheme and placement rule of the organisation's new recordings. What is stored already stays as it is. */
export function policyOperations({
  catalog,
}: {
  readonly catalog: { readonly installation: InstallationCatalog }
}): Operation[] {
  const forOperators = { path: '/policy', tag: 'nodes', roles: ['operator'] } as const

  async function find(id: Id): Promise<OrganisationRow> {
    const row = await catalog.installation.organisation(id)
    if (!row) throw new MosaikError('E_INPUT', 'the organisation is gone')
    return row
  }

  return [
    operation(
      {
        ...{ id: 'getPolicy', method: 'get', ...forOperators },
        summary: { en: 'What new recordings get', de: 'Was neue Aufzeichnungen bekommen' },
        answer: {
          status: 200,
          says: { en: 'Scheme and placement rule.', de: 'Schema und Verteilungsregel.' },
          json: policy,
        },
      },
      async ({ caller }) => policyOf(await find(caller.organisation)),
    ),
    operation(
      {
        ...{ id: 'setPolicy', method: 'patch', ...forOperators },
        summary: { en: 'Sets what new recordings get', de: 'Bestimmt, was neue Aufzeichnungen bekommen' },
        about: { en: 'What is stored already stays as it is.', de: 'Was schon gespeichert ist, bleibt, wie es ist.' },
        problems: ['E_SCHEME_INVALID', 'E_PLACEMENT_RULE', 'E_NODES_TOO_FEW'],
        body: policyChange,
        answer: {
          status: 200,
          says: { en: 'Scheme and placement rule.', de: 'Schema und Verteilungsregel.' },
          json: policy,
        },
      },
      async ({ caller, body: { scheme, placementRule } }) => {
        const row = await find(caller.organisation)
        const changed = { scheme: scheme ?? row.scheme, placementRule: placementRule ?? row.placementRule }
        checkScheme(changed.scheme)
        // A policy that no node can meet would stop all deposits: refused here, in the placement rule's own words.
        choosePlacement(
          changed.scheme,
          changed.placementRule,
          (await catalog.installation.nodes()).filter(acceptsWrites),
        )
        await catalog.installation.setOrganisationPolicy(row.id, changed)
        return changed
      },
    ),
  ]
}

function policyOf({ scheme, placementRule }: OrganisationRow): Pick<OrganisationRow, 'scheme' | 'placementRule'> {
  return { scheme, placementRule }
}
