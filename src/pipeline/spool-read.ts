import { MosaikError, isMosaikError } from '../domain/errors.ts'
import type { Id } from '../domain/ids.ts'
import { ascii } from '../crypto/bytes.ts'
import { FLOE_HEADER_BYTES, FloeKey, SEGMENT_BYTES } from '../crypto/floe.ts'
import { sealedSegmentBytes, sealedSegmentCount } from '../crypto/floe-message.ts'
import type { Primitives } from '../crypto/primitives.ts'
import { SPOOL_INFO, spoolLayout, type SpoolHeader } from '../format/spool-header.ts'
import type { SpoolKeys } from '../ports/keyring.ts'
import type { SpoolFileReader, SpoolFiles } from '../ports/spool-files.ts'
import { completeExtents, extentName, readExtentHeader, segmentsAt } from './spool-extents.ts'

/** What reading an upload needs. */
export interface ReadPorts {
  readonly files: SpoolFiles
  readonly keys: Pick<SpoolKeys, 'openSpoolKey'>
  readonly primitives: Primitives
}

/**
 * The plaintext of an upload, segment by segment, each verified before it is released. That all extents are there, follow each other and
 * make up `sizeBytes` is known before the first byte leaves.
 *
 * @throws E_SOURCE_UNREADABLE when extents are missing, swapped or changed, or a key was destroyed; E_SPOOL when the disk fails
 */
export async function* readUpload(
  ports: ReadPorts,
  upload: Id,
  sizeBytes: number,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array> {
  const count = await checkExtents(ports, upload, sizeBytes)
  let offsetBytes = 0
  for (let number = 0; number < count; number++) {
    signal.throwIfAborted()
    const file = await ports.files.open(upload, extentName(number))
    if (file === undefined) throw unreadable(upload, `extent ${number} is gone`)
    try {
      for await (const plaintext of readExtent(ports, { upload, number, offsetBytes }, file, signal)) {
        offsetBytes += plaintext.length
        yield plaintext
      }
    } catch (error) {
      throw asUnreadable(upload, number, error)
    } finally {
      await file.close()
    }
  }
}

/** How many extents there are; headers and lengths are held against each other, segments not yet. */
async function checkExtents({ files }: ReadPorts, upload: Id, sizeBytes: number): Promise<number> {
  const listed = await files.list(upload)
  if (listed.length === 0) throw unreadable(upload, 'it is not in the spool')
  let extents
  try {
    extents = completeExtents(upload, listed)
  } catch (error) {
    throw asUnreadable(upload, undefined, error)
  }
  let offsetBytes = 0
  for (const [number, { name }] of extents.entries()) {
    const file = await files.open(upload, name)
    if (file === undefined) throw unreadable(upload, `extent ${number} is gone`)
    try {
      const { header, plainBytes } = await readExtentHeader(file)
      checkPlace(header, { upload, number, offsetBytes })
      offsetBytes += plainBytes
    } catch (error) {
      throw asUnreadable(upload, number, error)
    } finally {
      await file.close()
    }
  }
  if (offsetBytes !== sizeBytes) {
    throw unreadable(upload, `it has ${offsetBytes} bytes where ${sizeBytes} were promised`)
  }
  return extents.length
}

async function* readExtent(
  { keys, primitives }: ReadPorts,
  place: ExtentPlace,
  file: SpoolFileReader,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array> {
  const { header, bytes: aad } = await readExtentHeader(file)
  checkPlace(header, place)
  const { encAt, ctAt, floeHeaderAt } = spoolLayout(header.suite)
  const dek = await keys.openSpoolKey(header.keyId, {
    suite: header.suite,
    info: ascii(SPOOL_INFO),
    aad,
    enc: await file.read(encAt, ctAt - encAt),
    ct: await file.read(ctAt, floeHeaderAt - ctAt),
  })
  const floe = new FloeKey(primitives, dek, primitives.sha256(aad), await file.read(floeHeaderAt, FLOE_HEADER_BYTES))
  dek.fill(0)
  try {
    const startAt = segmentsAt(header)
    const sealedBytes = file.sizeBytes - startAt
    const count = sealedSegmentCount(sealedBytes)
    for (let segment = 0; segment < count; segment++) {
      signal.throwIfAborted()
      const sealed = await file.read(startAt + segment * SEGMENT_BYTES, sealedSegmentBytes(segment, sealedBytes))
      yield floe.openSegment(segment, sealed, segment === count - 1)
    }
  } finally {
    floe.destroy()
  }
}

/** Where an extent has to stand: extents that follow each other leave no gap. */
type ExtentPlace = Pick<SpoolHeader, 'upload' | 'number' | 'offsetBytes'>

function checkPlace(header: SpoolHeader, { upload, number, offsetBytes }: ExtentPlace): void {
  if (header.upload !== upload || header.number !== number || header.offsetBytes !== offsetBytes) {
    throw new MosaikError('E_FORMAT_FIELD', 'a file of the spool is not the extent that its name and neighbours say')
  }
}

/** Trouble with bytes and keys means that the upload cannot be read, ever; trouble with the disk may pass. */
function asUnreadable(upload: Id, extent: number | undefined, error: unknown): unknown {
  if (isMosaikError(error, 'E_KEYRING_KEY_UNKNOWN')) {
    return unreadable(upload, 'its key was destroyed', extent, error)
  }
  const damage = isMosaikError(error) && (error.code.startsWith('E_FORMAT_') || damageCodes.has(error.code))
  if (damage) return unreadable(upload, `extent ${extent ?? '?'} is damaged (${error.code})`, extent, error)
  if (isMosaikError(error, 'E_SPOOL') && extent === undefined) return unreadable(upload, error.message, extent, error)
  return error
}

const damageCodes: ReadonlySet<string> = new Set(['E_SUITE_UNKNOWN', 'E_HPKE_OPEN', 'E_HEADER_TAG', 'E_SEGMENT_TAG'])

function unreadable(upload: Id, words: string, extent?: number, cause?: unknown): MosaikError {
  const fields = { upload, ...(extent === undefined ? {} : { extent }) }
  return new MosaikError('E_SOURCE_UNREADABLE', `the upload cannot be read: ${words}`, fields, cause)
}
