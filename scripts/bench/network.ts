import { join } from 'node:path'
import {
  CompleteMultipartUploadCommand,
  CreateMultipartUploadCommand,
  GetObjectCommand,
  PutObjectCommand,
  UploadPartCommand,
  type S3Client,
} from '@aws-sdk/client-s3'
import type { S3Settings } from '../../src/ports/node-driver.ts'
import { createBucket, rawClient } from '../../test/support/services/buckets.ts'
import type { S3Node } from '../../test/support/services/kinds.ts'
import { available, service } from '../../test/support/services/start-service.ts'
import { LESS, Skipped, interleave, median, type Measurement, type Options, type Row } from './row.ts'
import { makeFile } from './tools.ts'
import { never, openBenchVault, store } from './vault.ts'

const MIB = 1024 * 1024
const PART_BYTES = 8 * MIB
/** The default scheme. */
const [K, N, ROWS] = [3, 5, 2]
const RANGES = 60

interface Bucket {
  readonly node: S3Node
  readonly settings: S3Settings
  readonly client: S3Client
}

/** Five vendors on loopback: three of Ceph, two of Swift; all of one kind where the other is not here. */
async function buckets(): Promise<Bucket[]> {
  const kinds = (['ceph', 'swift'] as const).filter(available)
  if (kinds.length === 0) throw new Skipped('neither Ceph nor Swift is on this machine')
  const counts = kinds.length === 2 ? [3, 2] : [N]
  const nodes: S3Node[] = []
  for (const [at, kind] of kinds.entries()) {
    const { nodes: these } = await service(kind, { nodes: counts[at]!, instance: `bench-${kind}` })
    nodes.push(...these.slice(0, counts[at]))
  }
  return await Promise.all(
    nodes.map(async (node) => ({ node, settings: await createBucket(node), client: rawClient(node) })),
  )
}

function vaultOn(options: Options, places: readonly Bucket[]) {
  return openBenchVault(options.folder, {
    nodes: places.map(({ settings }, i) => ({ name: `vendor-${i + 1}`, settings, operator: `vendor ${i + 1}` })),
  })
}

/** One object in parts of 8 MiB, two on their way at once, as our writer does it. */
async function upload({ client, settings }: Bucket, key: string, body: Uint8Array): Promise<void> {
  const target = { Bucket: settings.bucket, Key: key }
  if (body.length <= PART_BYTES) {
    await client.send(new PutObjectCommand({ ...target, Body: body }))
    return
  }
  const { UploadId } = await client.send(new CreateMultipartUploadCommand(target))
  const count = Math.ceil(body.length / PART_BYTES)
  const parts: { PartNumber: number; ETag: string | undefined }[] = []
  let next = 0
  const worker = async (): Promise<void> => {
    while (next < count) {
      const at = next++
      const Body = body.subarray(at * PART_BYTES, (at + 1) * PART_BYTES)
      const { ETag } = await client.send(new UploadPartCommand({ ...target, UploadId, PartNumber: at + 1, Body }))
      parts.push({ PartNumber: at + 1, ETag })
    }
  }
  await Promise.all([worker(), worker()])
  const Parts = parts.toSorted((a, b) => a.PartNumber - b.PartNumber)
  await client.send(new CompleteMultipartUploadCommand({ ...target, UploadId, MultipartUpload: { Parts } }))
}

async function milliseconds(work: () => Promise<unknown>): Promise<number> {
  const began = performance.now()
  await work()
  return performance.now() - began
}

export const networkMeasurements: Measurement[] = [
  {
    names: ['store.s3.vs-sdk'],
    unit: LESS,
    async run(options): Promise<Row[]> {
      const places = await buckets()
      // twelve turns, and three nodes share the 8 GiB of one Ceph
      const size = (options.isFull ? 256 : 96) * MIB
      const path = makeFile(join(options.folder, 'in.bin'), size)
      const vault = await vaultOn(options, places)
      const share = Buffer.alloc(Math.ceil(size / ROWS), 7)
      let turn = 0
      const [a, b] = await interleave(options.repetitions, [
        () => milliseconds(() => store(vault, path)),
        () => {
          const key = `sdk-${turn++}`
          return milliseconds(() => Promise.all(places.map((place) => upload(place, key, share))))
        },
      ])
      await vault.close()
      for (const { client } of places) client.destroy()
      const detail = `${(a! / 1000).toFixed(2)} s : ${(b! / 1000).toFixed(2)} s for ${size / MIB} MiB`
      const peer = 'bare SDK, the same bytes to the same five nodes'
      return [{ name: 'store.s3.vs-sdk', value: a! / b!, unit: LESS, goal: 1.25, peer, detail }]
    },
  },
  {
    names: ['range.s3.vs-sdk', 'range.s3.stalled.vs-sdk'],
    unit: LESS,
    async run(options): Promise<Row[]> {
      const places = await buckets()
      const size = 64 * MIB
      const path = makeFile(join(options.folder, 'in.bin'), size)
      const vault = await vaultOn(options, places)
      const recording = await store(vault, path)
      const share = Buffer.alloc(size / ROWS, 7)
      await Promise.all(places.map((place) => upload(place, 'sdk', share)))
      const opened = await vault.reader.open(vault.organisation, recording, 'play', never)
      const asset = opened.asset(opened.manifest.assets.find(({ kind }) => kind === 'original')!.id)
      const ours = async (): Promise<void> => {
        const at = Math.floor(Math.random() * (size - MIB))
        // given back, as the viewer's server does
        for await (const chunk of asset.read(at, at + MIB, never)) asset.recycle(chunk)
      }
      // 1 MiB touches five segments when it starts inside one
      const length = 5 * (MIB / 4 / ROWS)
      const sdk = async (): Promise<void> => {
        const at = Math.floor(Math.random() * (share.length - length))
        const Range = `bytes=${at}-${at + length - 1}`
        await Promise.all(
          places.slice(0, K).map(async ({ client, settings }) => {
            const { Body } = await client.send(new GetObjectCommand({ Bucket: settings.bucket, Key: 'sdk', Range }))
            await Body!.transformToByteArray()
          }),
        )
      }
      const both = async (): Promise<[number, number]> => {
        const times: [number[], number[]] = [[], []]
        for (let i = 0; i < RANGES + 5; i++) {
          const pair = [await milliseconds(ours), await milliseconds(sdk)] as const
          if (i < 5) continue
          times[0].push(pair[0])
          times[1].push(pair[1])
        }
        return [median(times[0]), median(times[1])]
      }
      const row = (name: string, goal: number, [a, b]: [number, number], peer: string): Row => ({
        ...{ name, value: a / b, unit: LESS, goal, peer, detail: `p50 ${a.toFixed(1)} ms : ${b.toFixed(1)} ms` },
      })
      const rows = [row('range.s3.vs-sdk', 2, await both(), 'three parallel ranged GETs of the bare SDK, 1 MiB')]
      const stalled = places[N - 1]!
      await stalled.node.pause()
      try {
        rows.push(row('range.s3.stalled.vs-sdk', 3, await both(), 'the same, from three nodes that are well'))
      } finally {
        await stalled.node.resume()
      }
      await vault.close()
      for (const { client } of places) client.destroy()
      return rows
    },
  },
]
