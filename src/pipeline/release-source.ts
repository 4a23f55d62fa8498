import { MosaikError } from '../domain/errors.ts'
import type { RecordingCatalog } from '../ports/catalog/recordings.ts'
import type { SourceAccess } from '../ports/source.ts'
import type { Clock } from '../ports/system.ts'
import type { StageContext, StageOutcome } from './stage.ts'

/** Lets go of the source copy: a job of its own, only after the receipt (docs/ARCHITECTURE.md "Ordering"). Twice is once. */
export async function releaseSource(
  ports: { readonly recordings: RecordingCatalog; readonly sources: SourceAccess; readonly clock: Clock },
  context: StageContext,
): Promise<StageOutcome> {
  const receipt = await ports.recordings.receipt(context.recording.id)
  if (!receipt) {
    throw new MosaikError('E_RECORDING_NOT_READY', 'no receipt yet: the source copy stays', {
      recording: context.recording.id,
    })
  }
  await ports.sources.release(context.work.input, context.recording.id)
  return { next: [] }
}
