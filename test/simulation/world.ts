import { createHash } from 'node:crypto'
import { openMemoryCatalog } from '../../src/adapters/sql-catalog/open.ts'
import type { Scheme } from '../../src/domain/dispersal.ts'
import { MosaikError, isMosaikError } from '../../src/domain/errors.ts'
import { toHex, type Id } from '../../src/domain/ids.ts'
import { paddings } from '../../src/domain/padding.ts'
import { encodeNodeMarker } from '../../src/format/node-marker.ts'
import { MARKER_NAME } from '../../src/format/object-names.ts'
import type { Catalog } from '../../src/ports/catalog.ts'
import type { WorkInput } from '../../src/ports/catalog/recordings.ts'
import type { SourceAccess, SourceFile } from '../../src/ports/source.ts'
import type { VaultReader } from '../../src/ports/vault-reader.ts'
import type { Deposit } from './deposit.ts'
import { INSTALLATION, turningKeyring, type SimulationKeys } from './keys.ts'
import { PLAYABLE, renditionOf, simulatedMedia } from './media.ts'
import { SimulatedNode } from './node.ts'
import { SimulatedProcess, type WorldView } from './process.ts'
import { SimulatedQueue } from './queue.ts'
import { Seeded, seededRandom } from './seeded.ts'
import { SimulatedClock, SimulatedTime } from './time.ts'
import { pathOf, portsOf, startProcess, type Kind, type Running, type VaultParts } from './vault.ts'
import { SimulatedSpool } from './uploads.ts'
import { calm, weatherOf, type Weather } from './weather.ts'

const SCHEMES: readonly Scheme[] = [
  { k: 3, n: 5, t: 1 },
  { k: 3, n: 5, t: 2 },
  { k: 2, n: 4, t: 0 },
  { k: 2, n: 3, t: 1 },
]
/** Nodes beyond the n of the scheme: one may be lost and one drained. */
const SPARE_NODES = 2
const RESTART_MS = 20_000

/** Mistakes of the program that no fault excuses. */
const MISTAKES = /TypeError|RangeError|ReferenceError|SyntaxError|AssertionError/

/** A vault with everything around it, all of it simulated; what happens is the seed's. */
export class World implements WorldView {
  readonly seed: number
  readonly time = new SimulatedTime()
  readonly chance: Seeded
  readonly scheme: Scheme
  readonly nodes: readonly SimulatedNode[]
  readonly queue: SimulatedQueue
  readonly catalog: Catalog
  readonly parts: VaultParts
  readonly deposits: Deposit[] = []
  readonly violations: string[] = []
  readonly figures = { deaths: 0, wrongBytes: 0, reads: 0, failedReads: 0, events: 0 }
  /** The one node whose objects may be damaged or lost: a recording that is `stored` bears the loss of one. */
  readonly fragile: SimulatedNode
  readonly weatherAtStorm: Weather
  readonly nodeIds: Id[] = []
  hadClockJump = false
  /** Somebody wants new keys, and they are not in force yet. */
  wantsRotation = false
  #weather: Weather
  #running: (Running & { readonly kind: Kind })[] = []
  #generation = 0
  readonly #traceHash = createHash('sha256')
  readonly #onTrace: ((line: string) => void) | undefined
  #traceCount = 0

  constructor(seed: number, keys: SimulationKeys, onTrace?: (line: string) => void) {
    this.seed = seed
    this.#onTrace = onTrace
    this.chance = new Seeded(seed, 1)
    this.scheme = this.chance.pick(SCHEMES)
    this.weatherAtStorm = weatherOf(this.chance)
    this.#weather = this.weatherAtStorm
    this.nodes = Array.from({ length: this.scheme.n + SPARE_NODES }, (_, i) => new SimulatedNode(`node-${i}`, this))
    this.fragile = this.chance.pick(this.nodes)
    this.queue = new SimulatedQueue(this)
    this.catalog = openMemoryCatalog(new SimulatedClock(this.time))
    this.parts = {
      keys: { ...keys, keyring: turningKeyring(keys), organisation: { ...keys.organisation, scheme: this.scheme } },
      ...{ catalog: this.catalog, nodes: this.nodes, queue: this.queue },
      media: simulatedMedia(this),
      sources: this.#sources(),
      spool: new SimulatedSpool(this),
      random: seededRandom(new Seeded(seed, 2)),
      padding: paddings[seed % paddings.length]!,
    }
  }

  get organisation(): Id {
    return this.parts.keys.organisation.id
  }

  weather = (): Weather => this.#weather

  trace = (line: string): void => {
    this.#traceCount++
    const timed = `${this.time.nowMs.toFixed(3)} ${line}`
    this.#traceHash.update(timed)
    this.#onTrace?.(timed)
  }

  log = (process: string, level: string, event: string, fields: Readonly<Record<string, unknown>>): void => {
    this.trace(`${process} ${level} ${event} ${String(fields['code'] ?? '')}`)
    if (typeof fields['cause'] === 'string' && MISTAKES.test(fields['cause'])) {
      this.violate('mistake', `${event} of ${process}: ${fields['cause']} ${JSON.stringify(fields['at'] ?? '')}`)
    }
  }

  violate(name: string, detail: string): void {
    this.trace(`VIOLATION ${name}: ${detail}`)
    this.violations.push(`${name}: ${detail}`)
  }

  /** Everything that happened, in one hash: the same for the same seed. */
  traceDigest(): string {
    return `${this.#traceCount} ${this.#traceHash.copy().digest('hex')}`
  }

  /** Runs a task of somebody outside to its end. */
  async drive<T>(what: string, limitMs: number, task: Promise<T>): Promise<T> {
    let isOver = false
    task.then(
      () => (isOver = true),
      () => (isOver = true),
    )
    if (!(await this.time.run(limitMs, () => isOver))) throw new Error(`${what} did not end within ${limitMs} ms`)
    return await task
  }

  /** Organisation, nodes with their markers, and the processes. */
  async begin(): Promise<void> {
    const { installation } = this.catalog
    await this.catalog.migrate()
    await installation.installation(INSTALLATION)
    await installation.addOrganisation(this.parts.keys.organisation, this.parts.keys.card)
    for (const [index, node] of this.nodes.entries()) {
      const id = toHex(this.parts.random.bytes(16))
      this.nodeIds.push(id)
      node.objects.set(MARKER_NAME, encodeNodeMarker({ installation: INSTALLATION, node: id }))
      await installation.addNode({
        ...{ id, name: node.name, driver: 'directory', state: 'active', country: 'DE' },
        ...{ operator: `operator ${index}`, parent: `parent ${index}`, site: `site ${index}` },
        settings: { driver: 'directory', path: pathOf(index) },
        wrappedSecret: null,
        capabilities: { driver: 'directory', probedAtMs: 0, freeBytes: 1, device: 'simulated' },
        addedAtMs: 0,
      })
    }
    for (const kind of ['api', 'worker', 'worker', 'upkeep'] as const) this.start(kind)
  }

  /** What somebody outside reaches: no fault of the catalog and no death meets them. */
  outside(): ReturnType<typeof portsOf> {
    const say =
      (level: string) =>
      (event: string, fields: Readonly<Record<string, unknown>> = {}) =>
        this.log('outside', level, event, fields)
    const log = { info: say('info'), warn: say('warn'), error: say('error') }
    return portsOf(this.parts, new SimulatedClock(this.time), log)
  }

  /** Starts a process; when it dies another one takes its place after a while. */
  start(kind: Kind): void {
    const name = `${kind}-${++this.#generation}`
    const process = new SimulatedProcess(name, this, () => {
      this.figures.deaths++
      this.#running = this.#running.filter((one) => one.process !== process)
      void this.time.sleep(this.chance.fraction() * RESTART_MS).then(() => this.start(kind))
    })
    this.trace(`${name} starts`)
    this.#running.push({ ...startProcess(kind, process, this.parts), kind })
  }

  living(kind?: Kind): Running[] {
    return this.#running.filter((one) => kind === undefined || one.kind === kind)
  }

  clearUp(): void {
    this.#weather = calm
    for (const node of this.nodes) node.condition = 'well'
    for (const { process } of this.#running) process.clock.skewMs = 0
  }

  /** Nobody works any more. */
  stop(): void {
    this.start = () => undefined
    for (const { process } of [...this.#running]) process.kill('at the end')
  }

  /** A new thing to keep. */
  offer(): Deposit {
    const { chance } = this
    const number = this.deposits.length
    const size = chance.chance(0.15) ? chance.between(200_000, 600_000) : chance.between(1, 3000)
    const content = chance.bytes(size)
    const isPlayable = chance.chance(0.85)
    content[0] = isPlayable ? PLAYABLE : 0
    const path = `/source/${number}.mp4`
    const isUploaded = chance.chance(0.5)
    const externalId = `meeting-${number}`
    const deposit = { externalId, path, content, isPlayable, isUploaded, acknowledged: new Set<Id>() }
    this.deposits.push(deposit)
    if (!isUploaded) this.sourceCopies.set(path, content)
    return deposit
  }

  /** Where the sources still have what they offered. */
  readonly sourceCopies = new Map<string, Uint8Array>()

  /** Reads a recording whole and compares. @returns the error, or undefined when every byte was right; wrong bytes are a violation. */
  async compare(reader: VaultReader, deposit: Deposit, recording: Id): Promise<MosaikError | undefined> {
    this.figures.reads++
    const { signal } = new AbortController()
    try {
      const opened = await reader.open(this.organisation, recording, 'play', signal)
      for (const asset of opened.manifest.assets) {
        if (asset.inline) continue
        const expected = asset.kind === 'original' ? deposit.content : renditionOf(deposit.content)
        let at = 0
        for await (const chunk of opened.asset(asset.id).read(0, asset.contentBytes, signal)) {
          if (Buffer.compare(chunk, expected.subarray(at, at + chunk.length)) !== 0) at = Infinity
          at += chunk.length
        }
        if (at === expected.length) continue
        this.figures.wrongBytes++
        this.violate('wrong-bytes', `${asset.kind} of ${recording}`)
      }
      return undefined
    } catch (error) {
      this.figures.failedReads++
      if (isMosaikError(error)) return error
      this.violate('mistake', `reading ${recording}: ${error instanceof Error ? (error.stack ?? '') : String(error)}`)
      return new MosaikError('E_INTERNAL', 'reading made a mistake', {}, error)
    }
  }

  #sources(): SourceAccess {
    const placeOf = (input: WorkInput): string => (input.kind === 'file' ? input.path : '')
    return {
      open: (input) => {
        const content = this.sourceCopies.get(placeOf(input))
        if (!content) {
          return Promise.reject(new MosaikError('E_SOURCE_UNREADABLE', 'the source copy is gone', {}))
        }
        const { time, chance } = this
        const original: SourceFile = {
          ...{ name: 'meeting.mp4', sizeBytes: content.length, sha256: undefined },
          async *open(signal) {
            for (let at = 0; at < content.length; at += 100_000) {
              await time.sleep(20 * chance.fraction(), signal)
              yield content.slice(at, at + 100_000)
            }
          },
        }
        return Promise.resolve({ original, captions: [] })
      },
      release: async (input) => {
        const path = placeOf(input)
        const deposit = this.deposits.find((one) => one.path === path)
        for (const recording of deposit?.acknowledged ?? []) {
          if ((await this.catalog.recordings.receipt(recording)) === undefined) {
            this.violate('released-without-receipt', `the source copy of ${recording}`)
          }
        }
        this.sourceCopies.delete(path)
      },
    }
  }
}
