import { MosaikError, isMosaikError } from '../../domain/errors.ts'
import { fromHex, type Id } from '../../domain/ids.ts'
import { acceptsReads, acceptsWrites, type StorageNode } from '../../domain/node.ts'
import { decodeDocumentShare } from '../../format/document-share.ts'
import { decodeFragmentHeader, FRAGMENT_HEADER_BYTES } from '../../format/fragment-header.ts'
import { sameBytes } from '../../format/header-bytes.ts'
import type { AttemptRow, ObjectRow } from '../../ports/catalog/layout.ts'
import { withDeadline } from '../../ports/deadline.ts'
import type { ObjectKey, ObjectStore } from '../../ports/object-store.ts'
import { checkRecording, nameOf } from './fsck-recording.ts'
import {
  violationNames,
  type FsckPorts,
  type FsckReport,
  type Note,
  type Violation,
  type ViolationName,
} from './fsck-report.ts'

export type { FsckPorts, FsckReport, Violation, ViolationName } from './fsck-report.ts'

/** What was begun and not ended is left alone for so long: the collector gives it up then (docs/ARCHITECTURE.md "Ordering"). */
export const FSCK_GRACE_MS = 75 * 60_000
const CALL_TIMEOUT_MS = 30_000
const PAGE = 500
const SURVEY_PAGE = 100
const PARALLEL_HEADERS = 8

/**
 * Holds everything that the catalog says against itself and against what the nodes have, and names what does not fit (docs/ARCHITECTURE.md
 * "States", "Ordering"). Reads only, and opens nothing. It may run beside a vault at work: what differs is looked at twice.
 *
 * @param graceMs how long something that was begun may stand without being worked on.
 */
export async function fsck(ports: FsckPorts, signal: AbortSignal, graceMs = FSCK_GRACE_MS): Promise<FsckReport> {
  const violations: Violation[] = []
  const note: Note = (name, detail, where = {}) =>
    void violations.push({ name, severity: violationNames[name], ...where, detail })
  const nodes = await ports.catalog.installation.nodes()
  const bad = new Set<string>()
  const unreachable: { node: Id; name: string; code: string }[] = []
  const looked = await Promise.all(
    nodes.filter(acceptsReads).map(async (node) => {
      try {
        return await new NodeCheck(ports, node, note, bad, signal).run()
      } catch (error) {
        signal.throwIfAborted()
        if (!isMosaikError(error)) throw error
        unreachable.push({ node: node.id, name: node.name, code: error.code })
        return undefined
      }
    }),
  )
  const counts = looked.filter((count) => count !== undefined)
  let recordings = 0
  let page = await ports.catalog.upkeep.survey(undefined, SURVEY_PAGE)
  while (page.length > 0) {
    for (const one of page) {
      signal.throwIfAborted()
      recordings++
      await checkRecording(ports, one, { nodes, bad, graceMs }, note)
    }
    page = await ports.catalog.upkeep.survey(page.at(-1).recording.id, SURVEY_PAGE)
  }
  const silent = new Set(unreachable.map(({ node }) => node))
  await checkOrganisations(
    ports,
    nodes.filter(({ id }) => !silent.has(id)),
    nodes,
    bad,
    note,
  )
  return {
    checked: { nodes: counts.length, objects: counts.reduce((sum, count) => sum + count, 0), recordings },
    violations,
    unreachable,
  }
}

/** One node: what it lists against the rows, and the headers of what is stored there. */
class NodeCheck {
  readonly #ports: FsckPorts
  readonly #node: StorageNode
  readonly #note: Note
  readonly #bad: Set<string>
  readonly #signal: AbortSignal
  readonly #attempts = new Map<Id, Promise<AttemptRow | undefined>>()

  constructor(ports: FsckPorts, node: StorageNode, note: Note, bad: Set<string>, signal: AbortSignal) {
    this.#ports = ports
    this.#node = node
    this.#note = note
    this.#bad = bad
    this.#signal = signal
  }

  /** How many objects lie there. @throws what says that the node cannot be looked at */
  async run(): Promise<number> {
    const store = await this.#call(() => this.#ports.pool.store(this.#node.id))
    let count = 0
    for (const prefix of ['f/', 'm/', 's/', 'card/']) {
      const listed = new Map<ObjectKey, number>()
      for await (const { key, sizeBytes } of store.list(prefix, this.#signal)) listed.set(key, sizeBytes)
      count += listed.size
      await this.#checkRows(store, prefix, listed)
      for (const key of listed.keys()) await this.#checkUnknown(store, key)
    }
    for (const name of (await this.#ports.leftovers?.(this.#node.id, this.#signal)) ?? []) {
      this.#note('upload-leftover', `node ${this.#node.name} keeps an unfinished write of ${name}`, {
        node: this.#node.id,
      })
    }
    return count
  }

  /** Takes from `listed` what has a row. */
  async #checkRows(store: ObjectStore, prefix: string, listed: Map<ObjectKey, number>): Promise<void> {
    let after: ObjectKey | undefined
    while (true) {
      this.#signal.throwIfAborted()
      const rows = await this.#ports.catalog.upkeep.objectsOn(this.#node.id, prefix, after, PAGE)
      for (let i = 0; i < rows.length; i += PARALLEL_HEADERS) {
        await Promise.all(
          rows.slice(i, i + PARALLEL_HEADERS).map(async (row) => {
            const sizeBytes = listed.get(row.key)
            if (row.state === 'deleted') return
            listed.delete(row.key)
            if (row.state === 'stored') await this.#checkStored(store, row, sizeBytes)
          }),
        )
      }
      if (rows.length < PAGE) return
      after = rows.at(-1).key
    }
  }

  async #checkStored(store: ObjectStore, row: ObjectRow, listedBytes: number | undefined): Promise<void> {
    const where = { node: row.node, object: row.key, ...(row.recording === null ? {} : { recording: row.recording }) }
    const say = (name: ViolationName, detail: string): void => {
      this.#bad.add(nameOf(row))
      this.#note(name, `${detail} (node ${this.#node.name})`, where)
    }
    let sizeBytes = listedBytes
    if (sizeBytes === undefined) {
      // Written, or given up, since the node was listed: look again before saying so.
      sizeBytes = (await this.#call((signal) => store.head(row.key, signal)))?.sizeBytes
      const now = await this.#ports.catalog.upkeep.object(row.node, row.key)
      if (now?.state !== 'stored') return
      if (sizeBytes === undefined) return say('object-missing', 'the row says stored and the node has no such object')
    }
    if (row.sizeBytes !== sizeBytes) {
      return say('object-size', `the row says ${row.sizeBytes} bytes and the node has ${sizeBytes}`)
    }
    try {
      const reason = await this.#contradiction(store, row)
      if (reason !== undefined) say('header-mismatch', reason)
    } catch (error) {
      if (isMosaikError(error, 'E_OBJECT_ABSENT')) {
        const now = await this.#ports.catalog.upkeep.object(row.node, row.key)
        if (now?.state === 'stored') say('object-missing', 'the row says stored and the node has no such object')
        return
      }
      if (!isMosaikError(error) || !isFormat(error)) throw error
      say('header-unreadable', `${error.code}: ${error.message}`)
    }
  }

  /** In words, how the header contradicts the row. @throws E_FORMAT_… when it is none */
  async #contradiction(store: ObjectStore, row: ObjectRow): Promise<string | undefined> {
    const { role } = row
    if (role.kind === 'card') {
      const bytes = await this.#call((signal) => store.get(row.key, undefined, signal))
      const isNamed = sameBytes(this.#ports.primitives.sha256(bytes), fromHex(row.key.slice('card/'.length)))
      return isNamed ? undefined : 'the card has another SHA-256 than its name'
    }
    if (role.kind === 'fragment') {
      const range = { offsetBytes: 0, lengthBytes: FRAGMENT_HEADER_BYTES }
      const header = decodeFragmentHeader(await this.#call((signal) => store.get(row.key, range, signal)))
      const attempt = await this.#attempt(role.attempt)
      const { k, n, t } = header.scheme
      const due = row.scheme ?? attempt?.scheme
      return differing({
        attempt: [header.attempt, role.attempt],
        sharing: [header.sharing, row.sharing],
        extent: [header.extent, role.extent],
        index: [header.index, row.index],
        k: [k, due?.k],
        t: [t, due?.t],
        n: [n, due?.n],
      })
    }
    const share = decodeDocumentShare(await this.#call((signal) => store.get(row.key, undefined, signal)))
    return differing({
      kind: [share.kind, role.kind],
      organisation: [share.organisation, row.organisation],
      subject: [share.subject, row.recording ?? '0'.repeat(32)],
      generation: [share.generation, role.generation],
      sharing: [share.sharing, row.sharing],
      index: [share.index, row.index],
      ...(row.scheme && { k: [share.k, row.scheme.k], n: [share.n, row.scheme.n] }),
    })
  }

  /** An object without a row of its own that stands. */
  async #checkUnknown(store: ObjectStore, key: ObjectKey): Promise<void> {
    const row = await this.#ports.catalog.upkeep.object(this.#node.id, key)
    if (row !== undefined && row.state !== 'deleted') return
    if ((await this.#call((signal) => store.head(key, signal))) === undefined) return
    const where = { node: this.#node.id, object: key }
    if (row === undefined) this.#note('orphan-object', `the catalog does not know it (node ${this.#node.name})`, where)
    else this.#note('deleted-object-present', `it was confirmed deleted and is there (node ${this.#node.name})`, where)
  }

  #attempt(id: Id): Promise<AttemptRow | undefined> {
    if (this.#attempts.size > PAGE) this.#attempts.clear()
    let attempt = this.#attempts.get(id)
    if (!attempt) {
      attempt = this.#ports.catalog.layout.attempt(id)
      this.#attempts.set(id, attempt)
    }
    return attempt
  }

  async #call<T>(call: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const late = (): MosaikError =>
      new MosaikError('E_NODE_UNREACHABLE', 'the node did not answer in time', { node: this.#node.id })
    return await withDeadline({ clock: this.#ports.clock, limitMs: CALL_TIMEOUT_MS, signal: this.#signal, late }, call)
  }
}

function differing(fields: Readonly<Record<string, readonly [unknown, unknown]>>): string | undefined {
  const words = Object.entries(fields)
    .filter(([, [found, expected]]) => found !== expected)
    .map(([name, [found, expected]]) => `${name} is ${String(found)} and should be ${String(expected)}`)
  return words.length === 0 ? undefined : `the header says otherwise than the row: ${words.join(', ')}`
}

/** What bytes are to blame for, not the node's silence. */
function isFormat({ code }: MosaikError): boolean {
  return (
    code.startsWith('E_FORMAT') ||
    code === 'E_SUITE_UNKNOWN' ||
    code === 'E_SCHEME_INVALID' ||
    code === 'E_OBJECT_RANGE'
  )
}

/** States and cards. */
async function checkOrganisations(
  ports: FsckPorts,
  looked: readonly StorageNode[],
  nodes: readonly StorageNode[],
  bad: ReadonlySet<string>,
  note: Note,
): Promise<void> {
  const isThere = (row: ObjectRow): boolean =>
    !bad.has(nameOf(row)) && nodes.some((node) => node.id === row.node && acceptsReads(node))
  for (const { id, scheme, stateGeneration } of await ports.catalog.installation.organisations()) {
    const states = (await ports.catalog.layout.organisationObjects(id, 'state')).filter(isThere)
    const bySharing = [...Map.groupBy(states, ({ sharing }) => sharing).values()]
    const best = Math.max(0, ...bySharing.map((rows) => new Set(rows.map(({ index }) => index)).size))
    if (stateGeneration > 0 && best < scheme.n) {
      const needed = Math.min(scheme.k + 1, scheme.n)
      note(
        best < needed ? 'state-shares-too-few' : 'state-shares-degraded',
        `${best} of ${scheme.n} shares of the state of organisation ${id} are there, ${needed} are needed`,
      )
    }
    const cards = (await ports.catalog.layout.organisationObjects(id, 'card')).filter(isThere)
    const expected = (await ports.catalog.installation.cards(id)).length
    // Where nothing new is written a card may never have come.
    for (const node of looked.filter(acceptsWrites)) {
      const there = cards.filter((card) => card.node === node.id).length
      if (there < expected) {
        note('card-missing', `node ${node.name} has ${there} of ${expected} vault cards of organisation ${id}`, {
          node: node.id,
        })
      }
    }
  }
}
