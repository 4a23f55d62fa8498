import type { WorkStage } from '../ports/catalog/recordings.ts'

/**
 * What a process of the many-machines form does. `api`: the doors, and reading for viewers; `store`: puts recordings onto the nodes and
 * lets go of their sources; `transcode`: makes renditions; `upkeep`: organisation states, collector. The embedded form is all of them.
 */
export const groups = ['api', 'store', 'transcode', 'upkeep'] as const
export type Group = (typeof groups)[number]

/** The stages whose work a group does. */
export const stagesOf: Readonly<Record<Group, readonly WorkStage[]>> = {
  api: [],
  store: ['store', 'release'],
  transcode: ['transcode'],
  upkeep: [],
}
