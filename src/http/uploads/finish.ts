import { captionsMaxBytes } from '../../domain/captions.ts'
import { MosaikError, isMosaikError } from '../../domain/errors.ts'
import type { Id } from '../../domain/ids.ts'
import type { UploadCatalog, UploadRow } from '../../ports/catalog/access.ts'
import type { WorkCatalog } from '../../ports/catalog/recordings.ts'
import type { Intake } from '../../ports/source.ts'
import type { Spool } from '../../ports/spool.ts'
import type { Clock, Log } from '../../ports/system.ts'
import { captionsUploadsOf, isRecording, recordingInfoOf } from './metadata.ts'

/** What the end of an upload needs. */
export interface FinishPorts {
  readonly uploads: UploadCatalog
  readonly catalog: { readonly work: Pick<WorkCatalog, 'ofRecording'> }
  readonly spool: Spool
  readonly intake: Intake
  readonly clock: Clock
  readonly log: Log
}

/** @throws E_SOURCE_EMPTY, E_INPUT when an upload of this length makes no sense */
export function checkLength(lengthBytes: number, { metadata }: Pick<UploadRow, 'metadata'>): void {
  if (lengthBytes === 0) throw new MosaikError('E_SOURCE_EMPTY', 'the file is empty: there is nothing to keep')
  if (!isRecording({ metadata }) && lengthBytes > captionsMaxBytes) {
    throw new MosaikError('E_INPUT', `captions must have at most ${captionsMaxBytes} bytes`)
  }
}

/** The complete captions uploads that a recording names, where they are the same sender's; and the ids that are not. */
export async function captionsOf(
  uploads: UploadCatalog,
  { metadata, organisation, owner }: Pick<UploadRow, 'metadata' | 'organisation' | 'owner'>,
): Promise<{ readonly found: readonly UploadRow[]; readonly missing: readonly Id[] }> {
  const found: UploadRow[] = []
  const missing: Id[] = []
  for (const id of captionsUploadsOf(metadata)) {
    const row = await uploads.upload(id)
    const isOwn = row !== undefined && row.organisation === organisation && row.owner === owner
    if (isOwn && !isRecording(row) && row.state === 'complete') found.push(row)
    else missing.push(id)
  }
  return { found, missing }
}

/**
 * Makes the recording of an upload whose bytes are all there; the row comes back as it is then. Safe to repeat at any point: a second run
 * finds the first one's recording. Uploads that are not complete come back unchanged.
 *
 * @throws whatever intake refuses
 */
export async function settle(ports: FinishPorts, row: UploadRow): Promise<UploadRow> {
  const { uploads, spool, clock } = ports
  if (row.state !== 'receiving' && row.state !== 'complete') return row
  if (row.recording !== null || row.lengthBytes === null) return row
  let present = row
  if (row.state === 'receiving') {
    if ((await spool.offsetBytes(row.id)) !== row.lengthBytes) return row
    checkLength(row.lengthBytes, row)
    const change = { state: 'complete', offsetBytes: row.lengthBytes } as const
    await uploads.updateUpload(row.id, change, clock.nowMs())
    present = { ...row, ...change }
  }
  return isRecording(present) ? await deposit(ports, present) : present
}

async function deposit(ports: FinishPorts, row: UploadRow): Promise<UploadRow> {
  const { uploads, intake, log } = ports
  const { found: captions, missing } = await captionsOf(uploads, row)
  if (missing.length > 0) log.warn('upload.captions-gone', { upload: row.id, captions: missing })
  const { recording, created } = await intake.deposit(row.organisation, {
    info: recordingInfoOf(row),
    original: { kind: 'upload', upload: row.id },
    captions: captions.map(({ id }) => ({ kind: 'upload', upload: id })),
  })
  const isOurs = created || (await isMadeOf(ports, recording, row.id))
  // The state is left alone when it is ours: the store job may have consumed the upload in the meantime.
  const change = isOurs ? { recording } : ({ recording, state: 'consumed' } as const)
  for (const { id } of [row, ...captions]) {
    if (!isOurs) await ports.spool.remove(id)
    await updateIfThere(ports, id, change)
  }
  // The recording was there before, made of other bytes: these here are in nobody's work.
  if (!isOurs) log.info('upload.doubled', { upload: row.id, recording })
  return { ...row, ...change }
}

/** A quick store job may have removed the row already: then there is nothing to say in it. */
async function updateIfThere({ uploads, clock }: FinishPorts, id: Id, change: Partial<UploadRow>): Promise<void> {
  try {
    await uploads.updateUpload(id, change, clock.nowMs())
  } catch (error) {
    if (!isMosaikError(error, 'E_INPUT')) throw error
  }
}

/** True when the recording's work reads this upload: then it was this upload's deposit that made it, in a run that was cut off. */
async function isMadeOf({ catalog }: FinishPorts, recording: Id, upload: Id): Promise<boolean> {
  const work = await catalog.work.ofRecording(recording)
  return work.some(({ input }) => input.kind === 'upload' && input.upload === upload)
}
