import { mkdirSync, rmSync, statfsSync } from 'node:fs'
import { join } from 'node:path'
import { Skipped, type Measurement, type Row } from './row.ts'
import { answeringScript, makeFile } from './tools.ts'

const MB = 1_000_000
const names = ['memory.store.peak-mb', 'memory.read.peak-mb', 'memory.flatness']

/** Peak of the resident set of a process that stores, and of one that reads, a small file and a large one. */
export const memoryMeasurements: Measurement[] = [
  {
    names,
    unit: 'MB, less is better',
    async run({ folder, isFull }): Promise<Row[]> {
      const [small, large] = [400, isFull ? 4000 : 1200]
      const { bavail, bsize } = statfsSync(folder)
      if (bavail * bsize < large * MB * 3.6)
        throw new Skipped(`a file of ${large} MB needs 3.6 times its size in memory`)
      const peaks: { store: number; read: number }[] = []
      for (const size of [small, large]) {
        const place = join(folder, String(size))
        mkdirSync(place)
        const path = makeFile(join(place, 'in.bin'), size * MB)
        // the read is done by a process of its own kind: one that has stored and then rests
        const child = answeringScript('memory-child.ts', false)
        const store = await child.ask(`store ${place} ${path}`)
        const read = await child.ask(`read ${place}`)
        await child.close()
        peaks.push({ store, read })
        rmSync(place, { recursive: true, force: true })
      }
      const [a, b] = peaks as [{ store: number; read: number }, { store: number; read: number }]
      const flatness = Math.max(b.store / a.store, b.read / a.read)
      const peer = `file of ${large} MB`
      const common = { unit: 'MB, less is better', goal: 300, peer }
      return [
        { ...common, name: names[0]!, value: b.store },
        { ...common, name: names[1]!, value: b.read, detail: 'in the process that stored it' },
        {
          ...{ name: names[2]!, value: flatness, unit: 'ratio, less is better', goal: 1.1 },
          peer: `the same with ${small} MB`,
          detail: `store ${a.store} → ${b.store} MB, read ${a.read} → ${b.read} MB`,
        },
      ]
    },
  },
]
