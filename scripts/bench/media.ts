import { open } from 'node:fs/promises'
import { join } from 'node:path'
import { renditionsArguments } from '../../src/adapters/ffmpeg/arguments.ts'
import { planRenditions } from '../../src/domain/media-plan.ts'
import type { MediaInput } from '../../src/ports/media.ts'
import { LESS, Skipped, interleave, median, type Measurement, type Row } from './row.ts'
import { has, run, secondsOf } from './tools.ts'
import { mediaTool, never, openBenchVault, runStage, sizeOf, store } from './vault.ts'

const MIB = 1024 * 1024

export async function film(path: string, seconds: number, codecs: string, size = '1280x720'): Promise<string> {
  if (!(await has('ffmpeg'))) throw new Skipped('ffmpeg is not here')
  const video = `-f lavfi -i testsrc2=size=${size}:rate=25:duration=${seconds}`
  const sound = `-f lavfi -i sine=frequency=440:duration=${seconds}`
  await run('ffmpeg', ['-v', 'error', '-y', ...video.split(' '), ...sound.split(' '), ...codecs.split(' '), path])
  return path
}

/** Reads into memory that it gets back, as the vault does. */
function fileInput(path: string): MediaInput {
  const spare: Uint8Array<ArrayBuffer>[] = []
  return {
    sizeBytes: sizeOf(path),
    recycle: (chunk) => void spare.push(new Uint8Array(chunk.buffer)),
    async *read(startBytes, endBytes) {
      const file = await open(path)
      try {
        for (let at = startBytes; at < endBytes;) {
          const chunk = spare.pop() ?? new Uint8Array(MIB)
          const { bytesRead } = await file.read(chunk, 0, Math.min(MIB, endBytes - at), at)
          if (bytesRead === 0) return
          at += bytesRead
          yield chunk.subarray(0, bytesRead)
        }
      } finally {
        await file.close()
      }
    },
  }
}

export const mediaMeasurements: Measurement[] = [
  {
    names: ['media.remux.realtime'],
    unit: 'times real time, more is better',
    async run({ folder, isFull, repetitions }): Promise<Row[]> {
      const seconds = isFull ? 1800 : 300
      const codecs = '-c:v libx264 -preset ultrafast -pix_fmt yuv420p -g 50 -b:v 1M -c:a aac -b:a 96k'
      // of the smallest size of the ladder: larger ones are remuxed too, but smaller renditions of them are encoded beside
      const path = await film(join(folder, 'film.mp4'), seconds, codecs, '640x360')
      const vault = await openBenchVault(folder, { media: await mediaTool() })
      const times: number[] = []
      const transcodes: number[] = []
      for (let i = 0; i <= repetitions; i++) {
        const began = performance.now()
        const recording = await store(vault, path)
        const stored = performance.now()
        await runStage(vault, recording, 'transcode')
        // the first turn does not count
        if (i > 0) times.push((performance.now() - began) / 1000)
        if (i > 0) transcodes.push((performance.now() - stored) / 1000)
        const row = await vault.catalog.recordings.get(recording, vault.organisation)
        if (row?.state !== 'ready')
          throw new Error(`the film is ${row?.state}: ${row?.reason?.code} ${row?.reason?.message}`)
      }
      await vault.close()
      return [
        {
          ...{ name: 'media.remux.realtime', value: seconds / median(times), goal: 20 },
          ...{
            unit: 'times real time, more is better',
            peer: `H.264/AAC of ${seconds} s, 640 × 360, from deposit to ready`,
          },
          detail: `${median(times).toFixed(1)} s, of which transcoding ${median(transcodes).toFixed(1)} s`,
        },
      ]
    },
  },
  {
    names: ['media.transcode.vs-ffmpeg'],
    unit: LESS,
    async run({ folder, isFull, repetitions }): Promise<Row[]> {
      const path = await film(join(folder, 'film.mkv'), isFull ? 300 : 120, '-c:v mpeg4 -b:v 4M -c:a libopus')
      const tool = await mediaTool()
      const input = fileInput(path)
      const info = await tool.probe(input, never)
      const plan = planRenditions(info).find(({ videoMode }) => videoMode === 'encode')
      if (plan === undefined) throw new Error('nothing is to be encoded')
      const out = join(folder, 'out.mp4')
      const limits = { maxAllocationBytes: 1024 ** 3, maxPixels: 7680 * 4320, threads: 2 }
      const args = renditionsArguments(path, limits, [{ ...plan, isSparse: false }])
      const at = args.indexOf('-protocol_whitelist')
      if (at >= 0) args[at + 1] = 'file'
      args[args.length - 1] = out
      const [a, b] = await interleave(repetitions, [
        async () => {
          const began = performance.now()
          const [made] = await tool.renditions(input, info, [plan], () => undefined, never)
          for await (const chunk of made!.bytes) if (chunk.length === 0) break
          return (performance.now() - began) / 1000
        },
        // as nice as the tool is in the vault, so that other programs on the machine weigh on both
        () => secondsOf('nice', ['-n', '10', 'ffmpeg', '-y', ...args]),
      ])
      const detail = `${a!.toFixed(2)} s : ${b!.toFixed(2)} s`
      return [
        {
          ...{ name: 'media.transcode.vs-ffmpeg', value: a! / b!, unit: LESS, goal: 1.05 },
          ...{ peer: `the same ffmpeg command, file to file; confined by ${tool.confinement}`, detail },
        },
      ]
    },
  },
]
