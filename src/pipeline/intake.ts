import { CAPTIONS_MAX } from '../domain/captions.ts'
import { MosaikError } from '../domain/errors.ts'
import { toHex, type Id } from '../domain/ids.ts'
import type { InstallationCatalog } from '../ports/catalog/access.ts'
import type { RecordingCatalog, WorkInput, WorkRow } from '../ports/catalog/recordings.ts'
import type { Deposited, Intake, SourceOffer } from '../ports/source.ts'
import type { Clock, Random } from '../ports/system.ts'

export interface IntakePorts {
  readonly installation: InstallationCatalog
  readonly recordings: RecordingCatalog
  readonly clock: Clock
  readonly random: Random
  /** Told of the new work, so that it need not wait for the sweep; losing it loses nothing. */
  readonly announce: (work: Pick<WorkRow, 'id' | 'stage'>) => void
}

const MAX_TITLE_LENGTH = 500
const MAX_PEOPLE_COUNT = 2000
/** Of a name, an address, an external id: the manifest has to stay small (docs/FORMAT.md §6). */
const MAX_TEXT_LENGTH = 1000

/** The one way in, behind every source: checks what the source says and writes the recording with its first work. */
export function createIntake(ports: IntakePorts): Intake {
  return {
    async deposit(organisation: Id, offer: SourceOffer): Promise<Deposited> {
      const { info } = offer
      check(info.title.trim().length > 0, 'title must not be empty')
      check(info.title.length <= MAX_TITLE_LENGTH, `title must have at most ${MAX_TITLE_LENGTH} characters`)
      check(info.host.id.length > 0 && info.host.id.length <= 200, 'host must have 1 to 200 characters')
      check(info.participants.length <= MAX_PEOPLE_COUNT, `at most ${MAX_PEOPLE_COUNT} participants`)
      const texts = [
        info.source.externalId,
        ...[info.host, ...info.participants].flatMap(({ name, email }) => [name, email]),
      ]
      check(
        texts.every((text) => text === null || text.length <= MAX_TEXT_LENGTH),
        `names, addresses and the external id must have at most ${MAX_TEXT_LENGTH} characters each`,
      )
      check(
        info.startedAtMs === null || (Number.isSafeInteger(info.startedAtMs) && info.startedAtMs >= 0),
        'startedAt must be a date after 1970',
      )
      check(offer.captions.length <= CAPTIONS_MAX, `at most ${CAPTIONS_MAX} files of captions`)
      const owner = await ports.installation.organisation(organisation)
      if (!owner) throw new MosaikError('E_INPUT', 'there is no such organisation', { organisation })
      const id = toHex(ports.random.bytes(16))
      const work = { id: toHex(ports.random.bytes(16)), stage: 'store' as const, input: workInput(offer) }
      const { recording, created } = await ports.recordings.create({
        id,
        organisation,
        title: info.title.trim(),
        hostId: info.host.id,
        sourceKind: info.source.kind,
        externalId: info.source.externalId,
        startedAtMs: info.startedAtMs,
        scheme: owner.scheme,
        atMs: ports.clock.nowMs(),
        work,
      })
      if (created) ports.announce(work)
      return { recording: recording.id, created }
    },
  }
}

function workInput({ info, original, captions }: SourceOffer): WorkInput {
  const people = { hostName: info.host.name, hostEmail: info.host.email, participants: info.participants }
  if (original.kind === 'upload') {
    return {
      kind: 'upload',
      upload: original.upload,
      captionsUploads: captions.flatMap((one) => (one.kind === 'upload' ? [one.upload] : [])),
      people,
    }
  }
  return {
    kind: 'file',
    path: original.path,
    sizeBytes: original.sizeBytes,
    modifiedAtMs: original.modifiedAtMs,
    deleteAfterReceipt: original.deleteAfterReceipt,
    captions: captions.flatMap((one) => {
      if (one.kind !== 'file') return []
      const { path, sizeBytes, modifiedAtMs } = one
      return [{ path, sizeBytes, modifiedAtMs }]
    }),
    sha256: original.sha256 ?? null,
    people,
  }
}

function check(holds: boolean, message: string): void {
  if (!holds) throw new MosaikError('E_INPUT', message)
}
