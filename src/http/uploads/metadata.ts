import { MosaikError } from '../../domain/errors.ts'
import type { Id } from '../../domain/ids.ts'
import type { RecordingInfo } from '../../domain/recording.ts'
import type { UploadRow } from '../../ports/catalog/access.ts'
import { issueWords } from '../api/parsed.ts'
import { captionsMetadata, recordingMetadata, type RecordingMetadata } from './metadata-schema.ts'

/**
 * Upload-Metadata as it is kept: checked, cleaned, texts only.
 *
 * @throws E_INPUT naming the field
 */
export function checkedMetadata(given: Readonly<Record<string, string | null>>): Record<string, string> {
  const schema = given['kind'] === 'captions' ? captionsMetadata : recordingMetadata
  const result = schema.safeParse(given)
  if (!result.success) {
    throw new MosaikError('E_INPUT', `Upload-Metadata is not right: ${issueWords(result.error).join('; ')}`)
  }
  const { filetype: _ignored, ...kept } = result.data
  return Object.fromEntries(Object.entries(kept).filter((entry): entry is [string, string] => entry[1] !== undefined))
}

/** True when the upload is a recording, and not captions for one. */
export function isRecording({ metadata }: Pick<UploadRow, 'metadata'>): boolean {
  return metadata['kind'] !== 'captions'
}

/** Ids of the captions that a recording names. */
export function captionsUploadsOf({ captionsUpload }: UploadRow['metadata']): readonly Id[] {
  return captionsUpload?.split(',') ?? []
}

/** What an upload says of its recording. */
export function recordingInfoOf({ id, metadata }: Pick<UploadRow, 'id' | 'metadata'>): RecordingInfo {
  const known: RecordingMetadata = recordingMetadata.parse(metadata)
  return {
    title: known.title ?? stem(known.filename),
    source: { kind: known.source, externalId: known.externalId ?? id },
    host: { id: known.host, name: known.hostName ?? null, email: known.hostEmail ?? null },
    participants: [],
    startedAtMs: known.startedAt === undefined ? null : Date.parse(known.startedAt),
  }
}

function stem(filename: string): string {
  return filename.replace(/(?<=.)\.[^.]{1,8}$/, '')
}
