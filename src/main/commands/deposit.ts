import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { basename, extname } from 'node:path'
import { Upload } from 'tus-js-client'
import { z } from 'zod'
import { describeFile } from '../../adapters/file-source.ts'
import { CAPTIONS_MAX } from '../../domain/captions.ts'
import { MosaikError } from '../../domain/errors.ts'
import type { VaultClient } from '../client.ts'
import type { Screen } from '../screen.ts'
import { waitForRecording } from './wait.ts'

export interface DepositOptions {
  readonly title?: string | undefined
  readonly host: string
  readonly hostName?: string | undefined
  readonly hostEmail?: string | undefined
  readonly captions: readonly string[]
  readonly startedAt?: string | undefined
  readonly externalId?: string | undefined
  readonly wait: boolean
}

const uploadView = z.object({ recording: z.string().nullable() })
const CHUNK_BYTES = 64 * 1024 * 1024
/** Long enough for a vault that is started again. */
const RETRY_DELAYS_MS = [0, 500, 1_000, 3_000, 5_000, 10_000, 20_000, 30_000]

/** `mosaik deposit`: hashes the file, uploads it resumably into the sealed spool, and with --wait follows it until it plays. */
export async function deposit(
  client: VaultClient,
  screen: Screen,
  path: string,
  options: DepositOptions,
): Promise<void> {
  if (options.startedAt !== undefined && Number.isNaN(Date.parse(options.startedAt))) {
    throw new MosaikError('E_INPUT', `--started-at ${options.startedAt} is not a date like 2026-11-23T08:00:00+01:00`)
  }
  const file = await describeFile(path)
  if (file.sizeBytes === 0) throw new MosaikError('E_SOURCE_EMPTY', `${path} is empty: there is nothing to keep`)
  if (options.captions.length > CAPTIONS_MAX) {
    throw new MosaikError('E_INPUT', `a recording has at most ${CAPTIONS_MAX} files of captions beside it`)
  }
  const captions: string[] = []
  for (const one of options.captions) captions.push(await uploadCaptions(client, one))
  const sha256 = await hashFile(path, file.sizeBytes, (fraction) =>
    screen.bars([{ label: 'read', fraction, note: '' }]),
  )
  const url = await upload(
    client,
    path,
    file.sizeBytes,
    withoutUndefined({
      kind: 'recording',
      filename: basename(path),
      title: options.title ?? basename(path, extname(path)),
      host: options.host,
      hostName: options.hostName,
      hostEmail: options.hostEmail,
      startedAt: options.startedAt,
      source: 'cli',
      externalId: options.externalId,
      captionsUpload: captions.length === 0 ? undefined : captions.join(','),
      sha256,
    }),
    (fraction) => screen.bars([{ label: 'upload', fraction, note: '' }]),
  )
  const { recording } = uploadView.parse(await client.get('host', `/uploads/${basename(new URL(url).pathname)}`))
  if (recording === null) throw new MosaikError('E_INTERNAL', 'the upload is complete and no recording was made of it')
  screen.clearBars()
  if (!options.wait) {
    screen.result(`deposited ${recording}; the vault goes on by itself (mosaik show ${recording})`, { recording })
    return
  }
  const done = await waitForRecording(client, screen, recording)
  screen.result(`${recording} is ${done.state}`, { recording, state: done.state, reason: done.reason })
}

async function uploadCaptions(client: VaultClient, path: string): Promise<string> {
  const { sizeBytes } = await describeFile(path)
  const url = await upload(client, path, sizeBytes, { kind: 'captions', filename: basename(path) }, () => undefined)
  return basename(new URL(url).pathname)
}

async function upload(
  client: VaultClient,
  path: string,
  sizeBytes: number,
  metadata: Record<string, string>,
  progress: (fraction: number) => void,
): Promise<string> {
  return await new Promise((resolve, reject) => {
    const sending = new Upload(createReadStream(path), {
      endpoint: `${client.url}/api/v1/uploads`,
      // For each request anew: a vault that was started again in the meantime has another one.
      onBeforeRequest: (request) => request.setHeader('Authorization', `Bearer ${client.token('host')}`),
      uploadSize: sizeBytes,
      chunkSize: CHUNK_BYTES,
      retryDelays: RETRY_DELAYS_MS,
      metadata,
      onProgress: (sentBytes, totalBytes) => progress(totalBytes === 0 ? 1 : sentBytes / totalBytes),
      onSuccess: () => resolve(sending.url ?? ''),
      onError: (error) => reject(uploadError(error)),
    })
    sending.start()
  })
}

const problem = z.object({ detail: z.string() })

function uploadError(
  error: Error & { originalResponse?: { getStatus(): number; getBody(): string } | null },
): MosaikError {
  const response = error.originalResponse
  if (!response)
    return new MosaikError('E_NODE_UNREACHABLE', 'the vault stopped answering during the upload', {}, error)
  let words = response.getBody()
  try {
    words = problem.parse(JSON.parse(words)).detail
  } catch {
    // Not a problem document: the text itself is the best there is.
  }
  const code = response.getStatus() === 401 ? 'E_UNAUTHORIZED' : 'E_INPUT'
  return new MosaikError(code, `the vault refused the upload: ${words}`)
}

async function hashFile(path: string, sizeBytes: number, progress: (fraction: number) => void): Promise<string> {
  const hash = createHash('sha256')
  let readBytes = 0
  for await (const chunk of createReadStream(path, { highWaterMark: 1024 * 1024 })) {
    const bytes = chunk as Buffer
    hash.update(bytes)
    readBytes += bytes.length
    progress(readBytes / sizeBytes)
  }
  return hash.digest('hex')
}

function withoutUndefined(record: Record<string, string | undefined>): Record<string, string> {
  return Object.fromEntries(Object.entries(record).filter((entry): entry is [string, string] => entry[1] !== undefined))
}
