import type { Readable } from 'node:stream'
import { DataStore, ERRORS, Upload } from '@tus/utils'
import type { Id } from '../../domain/ids.ts'
import type { UploadRow } from '../../ports/catalog/access.ts'
import { checkLength, settle, type FinishPorts } from './finish.ts'
import { isRecording } from './metadata.ts'

/** An upload that nobody has touched for so long is removed. */
export const UPLOAD_TTL_MS = 24 * 3_600_000

/** Who begins an upload. */
export interface UploadOwner {
  readonly organisation: Id
  readonly token: Id
}

/** The tus store over the sealed spool and the upload catalog. Where an upload stands is read from the spool's files. */
export class UploadStore extends DataStore {
  readonly #ports: FinishPorts
  readonly #isBusy: (upload: Id) => boolean
  readonly #owners = new Map<Id, UploadOwner>()

  /** @param isBusy true while a request works on the upload: then it is not removed. */
  constructor(ports: FinishPorts, isBusy: (upload: Id) => boolean) {
    super()
    this.#ports = ports
    this.#isBusy = isBusy
    this.extensions = ['creation', 'creation-with-upload', 'creation-defer-length', 'termination', 'expiration']
  }

  /** Says who begins the upload that is about to be created. */
  expect(upload: Id, owner: UploadOwner): void {
    this.#owners.set(upload, owner)
  }

  override async create(file: Upload): Promise<Upload> {
    const owner = this.#owners.get(file.id)
    if (owner === undefined) throw ERRORS.UNKNOWN_ERROR
    this.#owners.delete(file.id)
    const nowMs = this.#ports.clock.nowMs()
    await this.#ports.uploads.addUpload({
      id: file.id,
      organisation: owner.organisation,
      owner: owner.token,
      state: 'receiving',
      lengthBytes: file.size ?? null,
      offsetBytes: 0,
      metadata: textsOf(file.metadata),
      recording: null,
      createdAtMs: nowMs,
      updatedAtMs: nowMs,
    })
    await this.#ports.spool.begin(file.id)
    file.creation_date = new Date(nowMs).toISOString()
    return file
  }

  override async write(stream: Readable, id: Id, offsetBytes: number): Promise<number> {
    const stands = await this.#ports.spool.append(id, offsetBytes, stream as AsyncIterable<Uint8Array>)
    await this.#ports.uploads.updateUpload(id, { offsetBytes: stands }, this.#ports.clock.nowMs())
    return stands
  }

  override async getUpload(id: Id): Promise<Upload> {
    const row = await this.#row(id)
    // A complete upload may have left the spool already: its offset is its length, for ever.
    const offset = row.state === 'receiving' ? await this.#ports.spool.offsetBytes(id) : (row.lengthBytes ?? 0)
    return new Upload({
      id,
      offset,
      metadata: { ...row.metadata },
      // tus reckons expiry from here: what counts is the last touch
      creation_date: new Date(row.updatedAtMs).toISOString(),
      ...(row.lengthBytes === null ? {} : { size: row.lengthBytes }),
    })
  }

  override async declareUploadLength(id: Id, lengthBytes: number): Promise<void> {
    checkLength(lengthBytes, await this.#row(id))
    await this.#ports.uploads.updateUpload(id, { lengthBytes }, this.#ports.clock.nowMs())
  }

  /** Files first, row last: a crash between leaves a row that says what is to be removed. */
  override async remove(id: Id): Promise<void> {
    await this.#ports.spool.remove(id)
    await this.#ports.uploads.removeUpload(id)
  }

  override getExpiration(): number {
    return UPLOAD_TTL_MS
  }

  /**
   * Removes uploads that nobody has touched for 24 hours: those that never became complete, captions that no recording names, rows of what
   * is long in the vault. A complete recording whose deposit was cut off is deposited instead. What waits for its store job is never touched.
   */
  override async deleteExpired(): Promise<number> {
    const { uploads, clock, log } = this.#ports
    const beforeMs = clock.nowMs() - UPLOAD_TTL_MS
    let removed = 0
    for (const state of ['receiving', 'aborted', 'consumed', 'complete'] as const) {
      for (const row of await uploads.uploads(state, beforeMs)) {
        if (this.#isBusy(row.id)) continue
        try {
          const settled = await settle(this.#ports, row)
          if (settled.state === 'complete' && (settled.recording !== null || isRecording(settled))) continue
          await this.remove(row.id)
          removed += 1
        } catch (error) {
          const cause = error instanceof Error ? error.name : typeof error
          log.warn('upload.expiry-failed', { upload: row.id, cause })
        }
      }
    }
    if (removed > 0) log.info('upload.expired', { removedCount: removed })
    return removed
  }

  async #row(id: Id): Promise<UploadRow> {
    const row = await this.#ports.uploads.upload(id)
    if (row === undefined || row.state === 'aborted') throw ERRORS.FILE_NOT_FOUND
    return row
  }
}

function textsOf(metadata: Upload['metadata']): Record<string, string> {
  return Object.fromEntries(
    Object.entries(metadata ?? {}).filter((entry): entry is [string, string] => entry[1] !== null),
  )
}
