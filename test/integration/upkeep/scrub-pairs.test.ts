import { randomBytes } from 'node:crypto'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { encodeManifest } from '../../../src/format/manifest.ts'
import { shareSigner } from '../../../src/main/share-signer.ts'
import { commitState } from '../../../src/pipeline/commit-state.ts'
import { placeDocument } from '../../../src/pipeline/place-document.ts'
import type { ObjectRow } from '../../../src/ports/catalog/layout.ts'
import { GroupCheck } from '../../../src/upkeep/blind/group-check.ts'
import { repair } from '../../../src/upkeep/blind/repair.ts'
import { scrub } from '../../../src/upkeep/blind/scrub.ts'
import { shareGroups } from '../../../src/upkeep/blind/share-groups.ts'
import { Bandwidth } from '../../../src/upkeep/blind/task-lease.ts'
import { makeStage, never, type Stage } from '../../support/upkeep-stage.ts'

/**
 * Everything that lies on the nodes, each under every other's name: the scrub says of each pair what is wrong with it, and where. Two
 * recordings of the same length, one of them with two generations of its manifest and two sharings of its ciphertext.
 */
let stage: Stage
let recording: string
/** A share, with what it is of. */
interface Exhibit {
  readonly row: ObjectRow
  readonly what: 'fragment' | 'manifest'
  readonly recording: string
  readonly generation: number
  readonly sharing: string
  readonly bytes: Uint8Array<ArrayBuffer>
}
/** What stands, and is scrubbed. */
let standing: Exhibit[]
/** What else may be found in its place: of an earlier generation, of another sharing, of another document. */
let foreign: Exhibit[]

beforeAll(async () => {
  stage = await makeStage()
  const content = randomBytes(262_112 + 77)
  recording = await stage.store(content)
  const other = await stage.store(randomBytes(content.length))
  const before = await sharesOf(recording)
  await commitState({ ...stage, location: () => 'memory' }, stage.organisation, never)
  const stateRows = await stage.catalog.layout.organisationObjects(stage.organisation, 'state')
  await nextGeneration()
  standing = [...(await exhibits(recording)), ...(await exhibits(other))]
  foreign = [
    ...before,
    ...stateRows.map((row) => exhibit(row, 'manifest', 'state')),
    // The same fragments as of another sharing: what a re-share that was given up may leave.
    ...standing
      .filter(({ what, recording: of }) => what === 'fragment' && of === recording)
      .map((one) => {
        const bytes = one.bytes.slice()
        bytes.fill(0xab, 28, 44)
        return { ...one, bytes, sharing: 'ab'.repeat(16) }
      }),
  ]
})
afterAll(async () => {
  await stage.close()
})
beforeEach(() => {
  for (const { row, bytes } of standing) stage.storeOf(row.node).objects.set(row.key, bytes.slice())
})

function exhibit(row: ObjectRow, what: Exhibit['what'], of: string): Exhibit {
  const generation = row.role.kind === 'manifest' ? row.role.generation : 0
  const bytes = stage.storeOf(row.node).objects.get(row.key)!.slice()
  return { row, what, recording: of, generation, sharing: row.sharing!, bytes }
}

async function sharesOf(of: string): Promise<Exhibit[]> {
  return (await stage.sharesOf(of)).map((row) => exhibit(row, 'manifest', of))
}

async function exhibits(of: string): Promise<Exhibit[]> {
  const { generation } = (await stage.catalog.recordings.get(of, undefined))!
  const shares = (await sharesOf(of)).filter((one) => one.generation === generation)
  return [...(await stage.fragmentsOf(of)).map((row) => exhibit(row, 'fragment', of)), ...shares]
}

/** The same manifest one generation on. */
async function nextGeneration(): Promise<void> {
  const opened = await stage.reader.open(stage.organisation, recording, 'commit', never)
  const first = await stage.catalog.layout.generation(recording, 1)
  const { sharing, sealedSha256 } = await placeDocument(
    stage,
    {
      ...{ kind: 'manifest', suite: 1, organisation: stage.organisation, recording, generation: 2 },
      body: encodeManifest({ ...opened.manifest, generation: 2, previous: first!.sealedSha256 }),
      ...{ scheme: { k: 3, n: 5, t: 1 }, nodes: stage.nodes },
    },
    never,
  )
  const { DatabaseSync } = await import('node:sqlite')
  const database = new DatabaseSync(`${stage.folder}/catalog.sqlite`)
  const hex = Buffer.from(sealedSha256).toString('hex')
  database.exec('pragma foreign_keys = off')
  database.exec(`delete from generations where recording = '${recording}' and generation = 2`)
  database.exec(
    `insert into generations (recording, generation, state, sharing, sealed_sha256) values ('${recording}', 2, 'stored', '${sharing}', x'${hex}')`,
  )
  database.exec(`update recordings set generation = 2 where id = '${recording}'`)
  database.exec(
    `update objects set state = 'superseded' where kind = 'manifest' and recording = '${recording}' and generation = 1`,
  )
  database.close()
}

/** What the scrub has to say when `found` lies in the place of `place`. */
function expected(place: Exhibit, found: Exhibit): Record<string, unknown> {
  const swapped = (other: string): Record<string, unknown> => ({ kind: 'swapped', other })
  if (found.what !== place.what) return { kind: 'not-flawless' }
  if (place.what === 'fragment') {
    if (found.recording !== place.recording) return swapped('asset')
    return found.sharing === place.sharing ? swapped('share') : { kind: 'stale' }
  }
  if (found.recording !== place.recording) return swapped('recording')
  return found.generation < place.generation ? { kind: 'stale' } : swapped('share')
}

/** @param at only the group that the share is of. */
async function lookAndSettle(
  at?: Exhibit,
): Promise<{ kind: string; object: string | null; node: string | null; other: unknown }[]> {
  if (at) {
    const one = (await stage.catalog.upkeep.surveyed(at.recording))!
    const group = shareGroups(one).find(({ rows }) => rows.some(({ key }) => key === at.row.key))!
    await new GroupCheck(stage, new Bandwidth(stage.clock, Infinity)).checkWhole(group, never)
  } else await scrub(stage, { bytesPerSecond: Infinity }, never)
  const groups = await stage.catalog.upkeep.repairQueue(Number.MAX_SAFE_INTEGER, 100)
  for (const { group } of groups) await stage.catalog.upkeep.resolve(group, 1)
  return groups.flatMap(({ findings }) =>
    findings.map(({ kind, node, object, fields }) => ({ kind, node, object, other: fields['other'] })),
  )
}

describe('a scrub over all pairs', () => {
  it('finds nothing when everything lies in its own place', async () => {
    expect(standing).toHaveLength(20)
    expect(foreign).toHaveLength(15)
    expect(await lookAndSettle()).toEqual([])
  })

  it('names each share that lies in another one’s place, and what it is', { timeout: 120_000 }, async () => {
    const seen = new Map<string, number>()
    for (const place of standing.filter(({ row, recording: of }) => of === recording || row.index === 0)) {
      for (const found of [...standing, ...foreign]) {
        if (found === place || Buffer.from(found.bytes).equals(place.bytes)) continue
        const { row } = place
        stage.storeOf(row.node).objects.set(row.key, found.bytes.slice())
        const named = await lookAndSettle(place)
        stage.storeOf(row.node).objects.set(row.key, place.bytes.slice())
        const pair = `${place.what} ${place.row.index} of ${place.recording} holds ${found.what} ${found.row.index} of ${found.recording} generation ${found.generation}`
        expect({ pair, objects: named.map(({ object }) => object) }).toEqual({ pair, objects: [row.key] })
        expect({ pair, node: named[0]!.node }).toEqual({ pair, node: row.node })
        const wanted = expected(place, found)
        if (wanted['kind'] !== 'not-flawless') expect({ pair, ...named[0] }).toMatchObject({ pair, ...wanted })
        const word = `${place.what} ${named[0]!.kind} ${String(named[0]!.other ?? '')}`.trim()
        seen.set(word, (seen.get(word) ?? 0) + 1)
      }
    }
    expect([...seen.keys()].toSorted()).toEqual([
      'fragment flipped',
      'fragment stale',
      'fragment swapped asset',
      'fragment swapped share',
      'manifest flipped',
      'manifest stale',
      'manifest swapped recording',
      'manifest swapped share',
    ])
  })

  it('two that lie under each other’s name are both named, and both mended', async () => {
    for (const [a, b] of [
      [0, 7],
      [5, 8],
      [2, 6],
      [10, 16],
    ] as const) {
      const [one, two] = [standing[a]!, standing[b]!]
      stage.storeOf(one.row.node).objects.set(one.row.key, two.bytes.slice())
      stage.storeOf(two.row.node).objects.set(two.row.key, one.bytes.slice())
      await scrub(stage, { bytesPerSecond: Infinity }, never)
      expect(
        await repair({ ...stage, signer: shareSigner(stage.keyring) }, { bytesPerSecond: Infinity }, never),
      ).toMatchObject({
        shares: 2,
        waiting: 0,
      })
      expect(await lookAndSettle()).toEqual([])
      standing = [...(await exhibits(recording)), ...(await exhibits(standing.at(-1).recording))]
    }
  })
})
