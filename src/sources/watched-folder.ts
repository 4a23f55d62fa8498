import { MosaikError, isMosaikError } from '../domain/errors.ts'
import type { Id } from '../domain/ids.ts'
import type { RecordingInfo } from '../domain/recording.ts'
import { parseSidecar, SIDECAR_MAX_BYTES, type Sidecar } from '../domain/sidecar.ts'
import type { Folder, FolderFile } from '../ports/folder.ts'
import type { Intake, SourceOffer, SourcePlace } from '../ports/source.ts'
import type { Clock, Log } from '../ports/system.ts'
import {
  DEFAULT_IGNORE,
  findCandidates,
  nameOf,
  shapeOf,
  stemOf,
  type Candidate,
  type CandidateRules,
} from './folder-candidates.ts'

/** What a watched folder needs, and how it is watched. */
export interface WatchedFolderOptions extends Partial<CandidateRules> {
  readonly folder: Folder
  readonly intake: Intake
  readonly organisation: Id
  readonly clock: Clock
  readonly log: Log
  /** How long a recording must not change before it is taken; 60 s when left out. A done marker ends the wait. */
  readonly stableMs?: number
  /** Time between two looks; a third of `stableMs`, from 1 to 15 s, when left out. */
  readonly pollMs?: number
  /** Whether the vault deletes a recording after its receipt, if it is still the same file. */
  readonly deleteAfterReceipt?: boolean
  /** Source kind when no sidecar says another. */
  readonly source?: string
  /** Host when no sidecar names one. */
  readonly host?: string
}

/** A folder whose finished recordings are deposited. */
export interface WatchedFolder {
  /** One look. Never rejects because of a file: what is wrong with one is logged, and the others go on. @throws E_SOURCE_UNREADABLE when the folder cannot be read */
  poll(): Promise<void>
}

/** What is remembered of a recording between two looks. */
interface Sighting {
  readonly signature: string
  readonly sinceMs: number
  /** waiting until it is stable; deposited; refused until it changes. */
  readonly state: 'waiting' | 'deposited' | 'refused'
}

const STABLE_MS = 60_000

/**
 * Watches by listing, since network file systems send no events. A recording is taken when it looked the same on two polls at least
 * `stableMs` apart, or a done marker lies beside it. What was deposited before a restart is found again by its external id.
 */
export function createWatchedFolder(options: WatchedFolderOptions): WatchedFolder {
  const { folder, clock, log, stableMs = STABLE_MS } = options
  const rules = {
    include: options.include ?? [],
    ignore: options.ignore ?? DEFAULT_IGNORE,
    minBytes: options.minBytes ?? 1,
  }
  let sightings = new Map<string, Sighting>()

  async function look(candidate: Candidate, before: Sighting | undefined): Promise<Sighting> {
    const { signature, isMarkedDone } = candidate
    const nowMs = clock.monotonicMs()
    const seen: Sighting = before?.signature === signature ? before : { signature, sinceMs: nowMs, state: 'waiting' }
    if (seen.state !== 'waiting') return seen
    const isStable = seen === before && nowMs - seen.sinceMs >= stableMs
    if (!isStable && !isMarkedDone) return seen
    try {
      // Opened without following links: still the file that was listed?
      const opened = await folder.stat(candidate.media.path)
      if (shapeOf(opened) !== shapeOf(candidate.media)) return { ...seen, sinceMs: nowMs }
      const { recording, created } = await options.intake.deposit(
        options.organisation,
        await offerOf(options, candidate),
      )
      log.info('folder.deposited', { recording, created })
      return { ...seen, state: 'deposited' }
    } catch (error) {
      return { ...seen, state: refuse(log, candidate, error) ? 'refused' : 'waiting' }
    }
  }

  return {
    async poll() {
      const next = new Map<string, Sighting>()
      for (const candidate of findCandidates(await folder.list(), rules)) {
        const { path } = candidate.media
        next.set(path, await look(candidate, sightings.get(path)))
      }
      sightings = next
    },
  }
}

/** Watches until it is closed; nothing that happens in the folder ends it. */
export function startWatchedFolder(options: WatchedFolderOptions): { close(): Promise<void> } {
  const { clock, log, stableMs = STABLE_MS } = options
  const pollMs = options.pollMs ?? Math.min(15_000, Math.max(1_000, stableMs / 3))
  const watched = createWatchedFolder(options)
  const stop = new AbortController()
  async function watch(): Promise<void> {
    while (!stop.signal.aborted) {
      try {
        await watched.poll()
      } catch (error) {
        log.error('folder.poll-failed', faultFields(error))
      }
      await clock.sleep(pollMs, stop.signal).catch(() => undefined)
    }
  }
  const watching = watch()
  return {
    async close() {
      stop.abort()
      await watching
    },
  }
}

/** What the folder says of a recording. @throws E_INPUT when its sidecar is broken, E_SOURCE_UNREADABLE */
async function offerOf(options: WatchedFolderOptions, candidate: Candidate): Promise<SourceOffer> {
  const { folder } = options
  const { media } = candidate
  const sidecar = await readSidecar(folder, candidate)
  const listed = sidecar?.files?.find(({ path }) => path === nameOf(media.path))
  if (sidecar?.files !== undefined && listed === undefined) {
    throw new MosaikError('E_INPUT', 'the sidecar is not right: files does not name the recording beside it')
  }
  const sha256 = listed?.sha256
  return {
    info: infoOf(options, media, sidecar),
    original: { ...placeOf(options, media), ...(sha256 === undefined ? {} : { sha256 }) },
    captions: await captionsOf(options, candidate, sidecar),
  }
}

async function readSidecar(folder: Folder, { sidecar, isSidecarShared }: Candidate): Promise<Sidecar | undefined> {
  if (sidecar === undefined) return undefined
  if (isSidecarShared) {
    throw new MosaikError(
      'E_INPUT',
      'several recordings have the name of this sidecar: call it like the recording with its ending, for example a.mp4.json',
    )
  }
  return parseSidecar(await folder.readText(sidecar.path, SIDECAR_MAX_BYTES))
}

function infoOf(options: WatchedFolderOptions, media: FolderFile, sidecar: Sidecar | undefined): RecordingInfo {
  const { path, sizeBytes, modifiedAtMs } = media
  const host = sidecar?.host
  return {
    title: orNull(sidecar?.title) ?? nameOf(stemOf(path)),
    source: {
      kind: sidecar?.source ?? options.source ?? 'folder',
      externalId: sidecar?.externalId ?? `fs:${path}:${sizeBytes}:${modifiedAtMs}`,
    },
    host: {
      id: orNull(host?.id) ?? orNull(host?.email) ?? options.host ?? 'watched-folder',
      name: orNull(host?.name),
      email: orNull(host?.email),
    },
    participants: (sidecar?.participants ?? []).map(({ name, email }) => ({
      name: orNull(name),
      email: orNull(email),
    })),
    startedAtMs: sidecar?.startedAt === undefined ? null : Date.parse(sidecar.startedAt),
  }
}

/** Captions that the sidecar names, else those that have the recording's name. */
async function captionsOf(
  options: WatchedFolderOptions,
  { media, captions }: Candidate,
  sidecar: Sidecar | undefined,
): Promise<SourcePlace[]> {
  const named = sidecar?.files?.filter(({ kind }) => kind === 'captions') ?? []
  if (named.length === 0) return captions.map((file) => placeOf(options, file))
  const folderPath = media.path.slice(0, media.path.length - nameOf(media.path).length)
  return await Promise.all(
    named.map(async ({ path }) => {
      const file = await options.folder.stat(`${folderPath}${path}`)
      if (file === undefined) throw new MosaikError('E_INPUT', 'the sidecar is not right: its captions are not there')
      return placeOf(options, file)
    }),
  )
}

function placeOf({ folder, deleteAfterReceipt = false }: WatchedFolderOptions, file: FolderFile) {
  const { path, sizeBytes, modifiedAtMs } = file
  return { kind: 'file', path: folder.absolute(path), sizeBytes, modifiedAtMs, deleteAfterReceipt } as const
}

function orNull(text: string | undefined): string | null {
  return text === undefined || text === '' ? null : text
}

/** Logs why a recording was not taken. True when only a change can help; otherwise the next look tries again. */
function refuse(log: Log, { media, sidecar }: Candidate, error: unknown): boolean {
  const isForGood = isMosaikError(error) && error.retry === 'never'
  // A file's name is often a meeting's title: the log tells it by its inode (find -inum).
  log.error(isForGood ? 'folder.refused' : 'folder.not-deposited', {
    inode: media.inode,
    ...(sidecar === undefined ? {} : { sidecarInode: sidecar.inode }),
    sizeBytes: media.sizeBytes,
    ...faultFields(error),
  })
  return isForGood
}

function faultFields(error: unknown): Record<string, unknown> {
  if (!isMosaikError(error)) return { code: 'E_INTERNAL', name: error instanceof Error ? error.name : typeof error }
  return { code: error.code, message: error.message, ...error.fields }
}
