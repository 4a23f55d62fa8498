import type { Scheme } from '../../domain/dispersal.ts'
import type { Id } from '../../domain/ids.ts'
import { isSafe } from '../../domain/recording.ts'
import { extentCount } from '../../format/fragment-header.ts'
import type { AttemptRow, GenerationRow, ObjectRow } from '../../ports/catalog/layout.ts'
import type { SurveyedRecording } from '../../ports/catalog/upkeep.ts'

/** Shares that restore one thing together: one extent of one sharing, or one generation of a manifest. What is scrubbed and repaired as one. */
export type ShareGroup = FragmentGroup | ManifestGroup

interface AnyGroup {
  /** As `Finding.group` has it. */
  readonly name: string
  readonly organisation: Id
  readonly recording: Id
  /** Of this sharing. */
  readonly scheme: Scheme
  /** That the recording is to have; another one while a change is on its way. */
  readonly dueScheme: Scheme
  readonly sharing: Id
  /** Rows that say stored, by index. */
  readonly rows: readonly ObjectRow[]
}

export interface FragmentGroup extends AnyGroup {
  readonly kind: 'fragment'
  readonly attempt: AttemptRow
  readonly sealedBytes: number
  readonly extent: number
}

export interface ManifestGroup extends AnyGroup {
  readonly kind: 'manifest'
  readonly generation: GenerationRow
}

/** What stands of a recording and has to go on standing, by name. Nothing of one that is not safe yet. */
export function shareGroups({ recording, attempts, generations, objects }: SurveyedRecording): ShareGroup[] {
  if (!isSafe(recording.state)) return []
  const common = { organisation: recording.organisation, recording: recording.id, dueScheme: recording.scheme }
  const stored = objects.filter(({ state }) => state === 'stored').toSorted((a, b) => a.index - b.index)
  const groups: ShareGroup[] = []
  for (const attempt of attempts) {
    const { sealedBytes } = attempt
    if (attempt.state !== 'stored' || sealedBytes === null) continue
    const own = stored.filter(({ role }) => role.kind === 'fragment' && role.attempt === attempt.id)
    const extents = extentCount(sealedBytes)
    for (const [sharing, rows] of Map.groupBy(own, (row) => row.sharing ?? '')) {
      for (let extent = 0; extent < extents; extent++) {
        const ofExtent = rows.filter(({ role }) => role.kind === 'fragment' && role.extent === extent)
        if (ofExtent.length === 0) continue
        const name = `fragment/${attempt.id}/${extent}/${sharing}`
        const scheme = ofExtent[0]?.scheme ?? attempt.scheme
        groups.push({
          ...common,
          kind: 'fragment',
          name,
          scheme,
          sharing,
          rows: ofExtent,
          attempt,
          sealedBytes,
          extent,
        })
      }
    }
  }
  const generation = generations.find((one) => one.generation === recording.generation && one.state === 'stored')
  if (generation?.sharing) {
    const { sharing } = generation
    const rows = stored.filter(
      (row) => row.role.kind === 'manifest' && row.role.generation === generation.generation && row.sharing === sharing,
    )
    const name = `manifest/${recording.id}/${generation.generation}/${sharing}`
    const scheme = rows[0]?.scheme ?? recording.scheme
    groups.push({ ...common, kind: 'manifest', name, scheme, sharing, rows, generation })
  }
  return groups.toSorted((a, b) => (a.name < b.name ? -1 : 1))
}
