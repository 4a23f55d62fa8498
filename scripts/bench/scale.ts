import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { film } from './media.ts'
import { MORE, interleave, type Measurement, type Row } from './row.ts'
import { answeringScript, type Answering } from './tools.ts'

/** Films that are stored and remuxed in one turn, by one process or shared by two. */
const FILMS = 4

export const scaleMeasurements: Measurement[] = [
  {
    names: ['scale.two-processes'],
    unit: MORE,
    async run({ folder, isFull, repetitions }): Promise<Row[]> {
      const path = await film(
        join(folder, 'film.mp4'),
        isFull ? 300 : 60,
        '-c:v libx264 -preset ultrafast -pix_fmt yuv420p -g 50 -b:v 1M -c:a aac -b:a 96k',
        '640x360',
      )
      const workers: Answering[] = []
      for (const name of ['one', 'two']) {
        mkdirSync(join(folder, name))
        const worker = answeringScript('scale-child.ts', false)
        await worker.ask(`open ${join(folder, name)}`)
        workers.push(worker)
      }
      const seconds = async (these: readonly Answering[]): Promise<number> => {
        const began = performance.now()
        await Promise.all(these.map((worker) => worker.ask(`work ${path} ${FILMS / these.length}`)))
        return (performance.now() - began) / 1000
      }
      const [one, two] = await interleave(repetitions, [() => seconds(workers.slice(0, 1)), () => seconds(workers)])
      await Promise.all(workers.map((worker) => worker.close()))
      const peer = 'one process; each has a catalog and nodes of its own'
      const detail = `${FILMS} films in ${two!.toFixed(1)} s : ${one!.toFixed(1)} s`
      return [{ name: 'scale.two-processes', value: one! / two!, unit: MORE, goal: 1.6, peer, detail }]
    },
  },
]
