import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Seeded } from '../simulation/seeded.ts'
import type { Cluster } from './cluster.ts'

/** Stands in every content, many times, and may stand on no disk. */
export const CANARY = 'THE-CANARY-OF-THE-CONTENT-SINGS-IN-NO-FILE'
const CALL_MS = 30_000
const RETRY_MS = 400

/** One thing that clients want kept. */
export interface Deposit {
  readonly externalId: string
  readonly sha256: string
  readonly isPlayable: boolean
  /** Recordings that clients were told of. */
  readonly acknowledged: Set<string>
  /** What the vault said last to each client that has not been told of one yet. */
  readonly lastAnswers: Map<number, string>
}

/** Three seconds of picture and sound that need no encoding. */
export function makeClip(): Buffer {
  const path = join(tmpdir(), `mosaik-chaos-clip-${process.pid}.mp4`)
  const source = '-f lavfi -i testsrc2=size=320x180:rate=10:duration=3 -f lavfi -i sine=duration=3'
  const coding = '-c:v libx264 -preset ultrafast -pix_fmt yuv420p -g 20 -c:a aac -movflags +faststart'
  execFileSync('ffmpeg', ['-v', 'error', '-y', ...source.split(' '), ...coding.split(' '), path])
  const clip = readFileSync(path)
  rmSync(path)
  return clip
}

/** A clip of its own, or bytes that are no media; both with the canary. */
export function contentOf(clip: Buffer, chance: Seeded, isPlayable: boolean): Buffer {
  const own = Buffer.concat([Buffer.from(`${CANARY} `.repeat(1000)), chance.bytes(chance.between(1, 300_000))])
  if (!isPlayable) return own
  const head = Buffer.alloc(8)
  head.writeUInt32BE(own.length + 8)
  head.write('free', 4)
  return Buffer.concat([clip, head, own])
}

/** Uploads by tus, and goes on, asks again and begins anew for as long as it takes to be told of a recording. */
export async function deposit(
  cluster: Cluster,
  content: Buffer,
  { externalId, acknowledged, isPlayable, lastAnswers }: Deposit,
  hand: number,
  isOver: () => boolean,
): Promise<void> {
  const metadata = {
    filename: `${externalId}.${isPlayable ? 'mp4' : 'bin'}`,
    title: externalId,
    host: 'anna',
    externalId,
  }
  const encoded = Object.entries(metadata).map(([name, value]) => `${name} ${Buffer.from(value).toString('base64')}`)
  const call = async (path: string, request: RequestInit): Promise<Response | undefined> => {
    const headers = { authorization: `Bearer ${cluster.host}`, 'tus-resumable': '1.0.0', ...request.headers }
    const signal = AbortSignal.timeout(CALL_MS)
    const answer = await fetch(new URL(path, cluster.url), { ...request, headers, signal }).catch(() => undefined)
    const words =
      (await answer
        ?.clone()
        .text()
        .catch(() => undefined)) ?? 'nothing'
    lastAnswers.set(hand, `${request.method} ${path}: ${answer?.status} ${words}`)
    return answer
  }
  let place: string | undefined
  while (!isOver()) {
    if (place === undefined) {
      const created = await call('/api/v1/uploads', {
        method: 'POST',
        headers: { 'upload-length': String(content.length), 'upload-metadata': encoded.join(',') },
      })
      place = created?.status === 201 ? (created.headers.get('location') ?? undefined) : undefined
    } else {
      const answer = await call(place, { method: 'GET' })
      const state = answer?.ok ? ((await answer.json().catch(() => undefined)) as UploadState | undefined) : undefined
      if (answer?.status === 404) place = undefined
      else if (state?.recording) {
        acknowledged.add(state.recording)
        lastAnswers.delete(hand)
        return
      } else if (state) {
        await call(place, {
          method: 'PATCH',
          headers: { 'upload-offset': String(state.offsetBytes), 'content-type': 'application/offset+octet-stream' },
          body: new Uint8Array(content.subarray(state.offsetBytes)),
        })
        continue
      }
    }
    if (place === undefined) await sleep(RETRY_MS)
    else await sleep(50)
  }
}

interface UploadState {
  readonly offsetBytes: number
  readonly recording: string | null
}

export function sha256(content: Uint8Array): string {
  return createHash('sha256').update(content).digest('hex')
}

/** SHA-256 of what the vault gives back. @throws what it says instead */
export async function originalHash(cluster: Cluster, recording: string): Promise<string> {
  const response = await fetch(`${cluster.url}/api/v1/recordings/${recording}/original`, {
    headers: { authorization: `Bearer ${cluster.host}` },
  })
  if (!response.ok) throw new Error(`${response.status} ${await response.text()}`)
  const hash = createHash('sha256')
  for await (const chunk of response.body ?? []) hash.update(chunk as Uint8Array)
  return hash.digest('hex')
}
