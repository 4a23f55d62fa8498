import { MosaikError, isMosaikError } from '../../domain/errors.ts'
import { toHex } from '../../domain/ids.ts'
import type { Manifest, ManifestAsset } from '../../domain/recording.ts'
import type { Catalog } from '../../ports/catalog.ts'
import type { VaultReader } from '../../ports/vault-reader.ts'
import { attachment } from '../headers.ts'
import { downloadMediaType, renditionFile } from '../viewer/recording-view.ts'
import { sendAsset, sessionEtag } from '../viewer/send-asset.ts'
import { operation, streamed, type Operation } from './operation.ts'
import { recordingOf } from './recordings.ts'
import { downloadList } from './recordings-schema.ts'

/** What the operations of downloads need. */
export interface DownloadOperationsOptions {
  readonly catalog: Pick<Catalog, 'recordings'>
  readonly reader: VaultReader
}

/** A part of a recording as a file. */
interface DownloadFile {
  readonly asset: ManifestAsset
  readonly name: string
  readonly mediaType: string
}

/** `/recordings/:id/downloads` and `/original`: files to take away, byte-exact, whole or a range; each segment is verified before it leaves. */
export function downloadOperations({ catalog, reader }: DownloadOperationsOptions): Operation[] {
  const bytes = {
    status: 200,
    bytes: 'application/octet-stream',
    isRanged: true,
    says: { en: 'The file; its media type is its own.', de: 'Die Datei, mit ihrem eigenen Medientyp.' },
  } as const
  const problems = ['E_RECORDING_UNKNOWN', 'E_RECORDING_NOT_READY', 'E_ASSET_UNKNOWN', 'E_SHARES_TOO_FEW'] as const

  /** Sends the file that `choose` picks of an opened recording. */
  const sending =
    (choose: (files: readonly DownloadFile[], asset: string | undefined) => DownloadFile | undefined) =>
    async (...[call, request, response]: Parameters<Parameters<typeof streamed>[1]>): Promise<void> => {
      const row = await recordingOf(call, catalog)
      const { organisation, tokenSha256 } = call.caller
      try {
        const opened = await reader.open(organisation, row.id, 'download', call.signal)
        const file = choose(filesOf(opened.manifest), call.params['asset'])
        if (file === undefined) throw new MosaikError('E_ASSET_UNKNOWN', 'there is no such file of this recording')
        await sendAsset(request, response, {
          reader: opened.asset(file.asset.id),
          mediaType: file.mediaType,
          etag: sessionEtag(toHex(tokenSha256), file.asset),
          disposition: attachment(file.name),
          signal: call.signal,
        })
      } catch (error) {
        const cause: unknown = call.signal.aborted ? call.signal.reason : error
        if (!isMosaikError(cause, 'E_ABORTED')) throw cause
      }
    }

  return [
    streamed(
      {
        ...{ id: 'downloadOriginal', method: 'get', path: '/recordings/{id}/original', tag: 'recordings' },
        summary: { en: 'Downloads the original, byte for byte', de: 'Lädt das Original, Byte für Byte' },
        ...{ roles: ['host'], answer: bytes, problems },
      },
      sending((files) => files.find(({ asset }) => asset.kind === 'original')),
    ),
    operation(
      {
        ...{ id: 'listDownloads', method: 'get', path: '/recordings/{id}/downloads', tag: 'recordings' },
        summary: {
          en: 'Lists what can be downloaded: original, MP4, sound, captions',
          de: 'Listet, was geladen werden kann: Original, MP4, Ton, Untertitel',
        },
        ...{ roles: ['host'], problems },
        answer: { status: 200, says: { en: 'The files.', de: 'Die Dateien.' }, json: downloadList },
      },
      async (call) => {
        const row = await recordingOf(call, catalog)
        const { manifest } = await reader.open(call.caller.organisation, row.id, 'download', call.signal)
        return { downloads: filesOf(manifest).map(viewOf) }
      },
    ),
    streamed(
      {
        ...{ id: 'download', method: 'get', path: '/recordings/{id}/downloads/{asset}', tag: 'recordings' },
        summary: { en: 'Downloads one of them', de: 'Lädt eine davon' },
        ...{ roles: ['host'], answer: bytes, problems },
      },
      sending((files, wanted) => files.find(({ asset }) => asset.id === wanted)),
    ),
  ]
}

function filesOf(manifest: Manifest): DownloadFile[] {
  return manifest.assets.flatMap((asset): DownloadFile[] => {
    if (asset.kind === 'original') return [{ asset, name: asset.name, mediaType: downloadMediaType(asset) }]
    if (asset.kind === 'captions') return [{ asset, name: `${asset.name}.vtt`, mediaType: 'text/vtt; charset=utf-8' }]
    if (asset.kind !== 'rendition' || asset.playback === null) return []
    return [{ asset, ...renditionFile(manifest, asset.id) }]
  })
}

function viewOf({ asset, name, mediaType }: DownloadFile) {
  const { id, kind, contentBytes, playback } = asset
  const hasPicture = playback !== null && playback.width > 0
  return {
    ...{ id, kind: kind as 'original' | 'rendition' | 'captions', name, mediaType },
    sizeBytes: contentBytes,
    ...{ width: hasPicture ? playback.width : null, height: hasPicture ? playback.height : null },
  }
}
