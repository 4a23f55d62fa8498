import type { HpkePrimitives } from '../crypto/kem.ts'
import { CAPTIONS_MAX } from '../domain/captions.ts'
import type { StorageNode } from '../domain/node.ts'
import { MosaikError, isMosaikError, type ErrorCode } from '../domain/errors.ts'
import { toHex, type Id } from '../domain/ids.ts'
import { SOUND_TRACKS_MAX, endsEarly, planRenditions, plansByRun } from '../domain/media-plan.ts'
import type { ManifestAsset, PlaybackIndex } from '../domain/recording.ts'
import { planStoryboard, storyboardCues } from '../domain/storyboard.ts'
import { captionsTrackName, parseCaptionsTrackName, soundTrackName } from '../domain/track.ts'
import type { RecordingCatalog } from '../ports/catalog/recordings.ts'
import type { Suite } from '../ports/keyring.ts'
import type { MediaInfo, MediaInput, MediaTool, RenditionOutput, RenditionPlan } from '../ports/media.ts'
import type { AssetReader, OpenedRecording, VaultReader } from '../ports/vault-reader.ts'
import { commitManifest } from './commit-manifest.ts'
import type { DocumentPorts } from './place-document.ts'
import { placeNewSharing, type PlacementPorts } from './placement.ts'
import { keepSmallAsset, type KeptAsset } from './small-asset.ts'
import type { StageContext, StageOutcome } from './stage.ts'
import { givingUpAttempts, storeAsset, type StorePorts } from './store-asset.ts'

export interface TranscodePorts extends StorePorts, DocumentPorts, PlacementPorts {
  readonly primitives: HpkePrimitives
  readonly recordings: RecordingCatalog
  readonly reader: VaultReader
  readonly media: MediaTool
  readonly suite: Suite
}

/**
 * Second stage: reads the original back from the vault, makes renditions, poster and captions, stores each like the original, and names
 * all of them in one new manifest generation. One failed rendition never blocks the others; when none could be made the recording is
 * `unplayable` with the reason, and its original stays safe. A file that ends early is `ready` with the reason: what is there plays.
 *
 * @throws E_MEDIA_TOOL (try again), E_SHARES_TOO_FEW, E_NODES_TOO_FEW, E_LEASE_LOST
 */
export async function transcode(ports: TranscodePorts, context: StageContext): Promise<StageOutcome> {
  const { recording, fence, signal } = context
  const opened = await ports.reader.open(recording.organisation, recording.id, 'transcode', signal)
  const { manifest } = opened
  if (manifest.assets.some((asset) => asset.kind === 'rendition')) return { next: [] }
  return await givingUpAttempts(ports, recording.id, fence, () => makeAndCommit(ports, context, opened))
}

async function makeAndCommit(
  ports: TranscodePorts,
  context: StageContext,
  opened: OpenedRecording,
): Promise<StageOutcome> {
  const { recording, fence, signal } = context
  const { manifest } = opened
  await ports.layout.failWriting(recording.id, fence)
  // The reason of an earlier try stays until this one succeeds.
  await ports.recordings.update(recording.id, { state: 'transcoding' }, ports.clock.nowMs(), fence)
  const original = manifest.assets.find((asset) => asset.kind === 'original')
  if (!original) throw new MosaikError('E_ASSET_UNKNOWN', 'the manifest names no original', { recording: recording.id })
  const input = mediaInput(opened.asset(original.id))

  let info: MediaInfo
  let plans: RenditionPlan[]
  try {
    info = await ports.media.probe(input, signal)
    plans = planRenditions(info)
    if (plans.length === 0) {
      throw new MosaikError('E_MEDIA_UNREADABLE', 'the file has neither a picture nor sound that can be played')
    }
  } catch (error) {
    return await giveUp(ports, context, error)
  }
  await tellLeftOut(ports, recording.id, info)
  const nodes = await placeNewSharing(ports, recording.organisation, recording.scheme)
  const made = await makeRenditions(ports, context, { input, info, plans, nodes })
  if (made.kept.length === 0) return await giveUp(ports, context, made.lastError)
  const kept = [
    ...made.kept,
    ...(await makeSmallAssets(ports, context, { input, info, plans, nodes }, manifest.assets)),
  ]
  await commitManifest(
    ports,
    {
      manifest: { ...manifest, assets: [...manifest.assets, ...kept.map(({ asset }) => asset)] },
      expectedStored: manifest.generation,
      suite: ports.suite,
      scheme: recording.scheme,
      nodes,
      attempts: kept.flatMap(({ attempts }) => attempts),
      supersede: [],
      change: { state: 'ready', durationMs: made.durationMs, reason: made.reason },
      fence,
    },
    signal,
  )
  await ports.recordings.addEvent(recording.id, ports.clock.nowMs(), 'ready', {
    renditions: made.names.join(', '),
  })
  // What a rendition that failed has left.
  await ports.layout.failWriting(recording.id, fence)
  return { next: [] }
}

interface Making {
  readonly input: MediaInput
  readonly info: MediaInfo
  readonly plans: readonly RenditionPlan[]
  readonly nodes: readonly StorageNode[]
}

interface Reason {
  readonly code: ErrorCode
  readonly message: string
}

interface Made {
  readonly kept: readonly KeptAsset[]
  /** As the plans name them: without titles of tracks. */
  readonly names: readonly string[]
  /** Of what plays; what the source says may be wrong. */
  readonly durationMs: number
  readonly lastError: unknown
  readonly reason: Reason | null
}

async function makeRenditions(ports: TranscodePorts, context: StageContext, making: Making): Promise<Made> {
  const made = new Map<RenditionPlan, MadeRendition>()
  const kept: KeptAsset[] = []
  const names: string[] = []
  let lastError: unknown
  let failed: Reason | null = null
  let early: Reason | null = null
  let longestMs = 0
  const addEvent = (kind: string, fields: Record<string, string>): Promise<void> =>
    ports.recordings.addEvent(context.recording.id, ports.clock.nowMs(), kind, fields)
  const judge = async (rendition: string, durationMs: number): Promise<void> => {
    const message = endsEarly(making.info, { durationMs })
    if (message === undefined) return
    early ??= { code: 'E_MEDIA_UNREADABLE', message }
    await addEvent('ends-early', { rendition, message })
  }
  const runs = plansByRun(making.plans)
  const totalMs = making.info.durationMs * runs.length
  const attempt = async (plans: readonly RenditionPlan[], done: number): Promise<MosaikError | undefined> => {
    const progress = (doneMs: number): void =>
      context.progress(Math.min(totalMs, done * making.info.durationMs + doneMs), totalMs)
    try {
      for (const rendition of await makeRun(ports, context, making, plans, progress))
        made.set(rendition.plan, rendition)
      return undefined
    } catch (error) {
      context.signal.throwIfAborted()
      if (!isMosaikError(error) || !error.code.startsWith('E_MEDIA_')) throw error
      return error
    }
  }
  for (const [done, plans] of runs.entries()) {
    const together = await attempt(plans, done)
    if (together === undefined) continue
    // One takes the others of its run along, and the small pictures may: by itself each shows whether it is the one.
    const isWhole = plans.length === 1 && plans[0]?.videoMode !== 'copy'
    for (const plan of plans) {
      const error = isWhole ? together : await attempt([plan], done)
      if (error === undefined) continue
      lastError = error
      failed = { code: error.code, message: `${plan.name}: ${error.message}` }
      await addEvent('rendition-failed', { rendition: plan.name, code: error.code, message: error.message })
    }
  }
  for (const plan of making.plans) {
    const rendition = made.get(plan)
    if (rendition === undefined) continue
    kept.push(rendition.kept)
    longestMs = Math.max(longestMs, rendition.index.durationMs)
    names.push(plan.name)
    if (plan.videoStream !== null) await judge(plan.name, rendition.index.durationMs)
  }
  // A sound track may end before the picture and before the others: without a picture the longest one tells.
  if (names.length > 0 && making.plans.every(({ videoStream }) => videoStream === null)) await judge('audio', longestMs)
  // That a part of the meeting is missing says more than that one of its sizes is.
  return { kept, names, durationMs: longestMs, lastError, reason: early ?? failed }
}

interface MadeRendition {
  readonly plan: RenditionPlan
  readonly kept: KeptAsset
  readonly index: PlaybackIndex
}

/** The renditions of one run of the tool, stored side by side as they come out of it: all of them, or none counts. */
async function makeRun(
  ports: TranscodePorts,
  context: StageContext,
  { input, info, nodes }: Making,
  plans: readonly RenditionPlan[],
  progress: (doneMs: number) => void,
): Promise<readonly MadeRendition[]> {
  const abandon = new AbortController()
  const signal = AbortSignal.any([context.signal, abandon.signal])
  let first: { readonly error: unknown } | undefined
  try {
    const outputs = await ports.media.renditions(input, info, plans, progress, signal)
    const stored = await Promise.allSettled(
      outputs.map(async (output, i): Promise<MadeRendition> => {
        try {
          return await storeRendition(ports, context, { plan: plans[i]!, output, nodes }, signal)
        } catch (error) {
          // What the others end with follows from this.
          first ??= { error }
          abandon.abort(new MosaikError('E_ABORTED', 'another rendition of the run failed'))
          throw error
        }
      }),
    )
    return stored.map((one) => {
      if (one.status === 'rejected') throw first?.error ?? one.reason
      return one.value
    })
  } finally {
    // However it ended, no tool of ours runs on.
    abandon.abort(new MosaikError('E_ABORTED', 'the renditions are done'))
  }
}

async function storeRendition(
  ports: TranscodePorts,
  context: StageContext,
  {
    plan,
    output,
    nodes,
  }: { readonly plan: RenditionPlan; readonly output: RenditionOutput; readonly nodes: readonly StorageNode[] },
  signal: AbortSignal,
): Promise<MadeRendition> {
  const { recording, fence } = context
  const id = toHex(ports.random.bytes(16))
  const stored = await storeAsset(
    ports,
    {
      organisation: recording.organisation,
      recording: recording.id,
      asset: id,
      kind: 'rendition',
      scheme: recording.scheme,
      nodes,
      content: output.bytes,
      fence,
    },
    signal,
  )
  const index = output.index()
  const asset: ManifestAsset = {
    id,
    kind: 'rendition',
    mediaType: plan.videoStream === null ? 'audio/mp4' : 'video/mp4',
    name: plan.track === null ? plan.name : soundTrackName(plan.track),
    contentBytes: stored.contentBytes,
    sha256: stored.sha256,
    inline: null,
    sealed: stored.sealed,
    playback: index,
  }
  return { plan, kept: { asset, attempts: [{ id: stored.attempt, sealedBytes: stored.sealed.sealedBytes }] }, index }
}

async function tellLeftOut(ports: TranscodePorts, recording: Id, { streams }: MediaInfo): Promise<void> {
  const beyond = (wanted: 'audio' | 'text', most: number): number =>
    Math.max(0, streams.filter(({ type }) => type === wanted).length - most)
  const [sounds, captions] = [beyond('audio', SOUND_TRACKS_MAX), beyond('text', CAPTIONS_MAX)]
  if (sounds + captions === 0) return
  await ports.recordings.addEvent(recording, ports.clock.nowMs(), 'tracks-left-out', { sounds, captions })
}

/**
 * Poster, storyboard and embedded captions: nice to have, never a reason to fail. Side by side, for they wait for their tools more than they
 * work; all of them have ended when this does.
 */
async function makeSmallAssets(
  ports: TranscodePorts,
  context: StageContext,
  { input, info, nodes }: Making,
  present: readonly ManifestAsset[],
): Promise<KeptAsset[]> {
  const keep = (asset: Parameters<typeof keepSmallAsset>[3]): Promise<KeptAsset> =>
    keepSmallAsset(ports, context, nodes, asset)
  const attempt = async (what: string, make: () => Promise<readonly KeptAsset[]>): Promise<readonly KeptAsset[]> => {
    try {
      return await make()
    } catch (error) {
      context.signal.throwIfAborted()
      if (!isMosaikError(error) || !error.code.startsWith('E_MEDIA_')) throw error
      const { code, message } = error
      await ports.recordings.addEvent(context.recording.id, ports.clock.nowMs(), `${what}-failed`, { code, message })
      return []
    }
  }
  const plan = planStoryboard(info)
  const poster = attempt('poster', async () => {
    const content = await ports.media.poster(input, info, context.signal)
    return content ? [await keep({ kind: 'poster', mediaType: 'image/jpeg', name: 'poster', content })] : []
  })
  const storyboard = attempt('storyboard', async () => {
    if (plan === undefined) return []
    // both or neither: one is nothing without the other
    const content = await ports.media.storyboard(input, plan, context.signal)
    const cues = new TextEncoder().encode(storyboardCues(plan, info.durationMs))
    return [
      await keep({ kind: 'storyboard', mediaType: 'image/jpeg', name: 'sprite', content }),
      await keep({ kind: 'storyboard', mediaType: 'text/vtt', name: 'thumbnails', content: cues }),
    ]
  })
  const captions = (async () => {
    // Captions that were deposited beside the recording are better than those inside it in the same language.
    const beside = present
      .filter(({ kind }) => kind === 'captions')
      .map(({ name }) => parseCaptionsTrackName(name).language)
    const tracks = info.streams.filter(({ type, language }) => type === 'text' && !beside.includes(language))
    const kept: KeptAsset[] = []
    for (const stream of tracks.slice(0, CAPTIONS_MAX)) {
      const found = await attempt('captions', async () => {
        const content = await ports.media.captions(input, stream.index, context.signal)
        return [await keep({ kind: 'captions', mediaType: 'text/vtt', name: captionsTrackName(stream), content })]
      })
      kept.push(...found)
    }
    return kept
  })()
  const all = await Promise.allSettled([poster, storyboard, captions])
  return all.flatMap((part) => {
    if (part.status === 'rejected') throw part.reason
    return part.value
  })
}

/** The original is safe and cannot be played: a clear state with a reason. Trouble that may pass is thrown instead. */
async function giveUp(ports: TranscodePorts, context: StageContext, error: unknown): Promise<StageOutcome> {
  context.signal.throwIfAborted()
  if (!isMosaikError(error) || error.retry !== 'never' || !error.code.startsWith('E_MEDIA_')) throw error
  await markUnplayable(ports, context.recording.id, error, context)
  return { next: [] }
}

async function markUnplayable(
  ports: TranscodePorts,
  recording: Id,
  error: MosaikError,
  context: StageContext,
): Promise<void> {
  const reason = { code: error.code, message: error.message }
  const nowMs = ports.clock.nowMs()
  await ports.recordings.update(recording, { state: 'unplayable', reason }, nowMs, context.fence)
  await ports.recordings.addEvent(recording, nowMs, 'unplayable', reason)
}

function mediaInput(reader: AssetReader): MediaInput {
  return {
    sizeBytes: reader.asset.contentBytes,
    read: (startBytes, endBytes, signal) => reader.read(startBytes, endBytes, signal),
    recycle: (chunk) => reader.recycle(chunk),
  }
}
