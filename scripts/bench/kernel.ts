import { innerBlockBytes } from '../../src/crypto/dispersal.ts'
import { MORE, gigabytes, interleave, type Measurement, type Row } from './row.ts'
import { Answering, ONE_CORE, answeringScript, compile } from './tools.ts'

/** k, n, t of the table in the research notes: Shamir, ramps, dispersal. */
export const schemes = [
  [2, 3, 1],
  [3, 5, 2],
  [3, 5, 1],
  [3, 5, 0],
  [6, 9, 0],
  [6, 9, 2],
] as const

const goals = { split: 0.4, combine: 0.2 }

/** The multiplication alone against ISA-L's `ec_encode_data` with a matrix of the same shape, on one core. */
export const kernelMeasurements: Measurement[] = schemes.flatMap(([k, n, t]) =>
  (['split', 'combine'] as const).map((mode): Measurement => {
    const name = `kernel.${mode}.vs-isal.${k}-${n}-${t}`
    return {
      names: [name],
      unit: MORE,
      async run({ repetitions, folder, isFull }): Promise<Row[]> {
        const isal = new Answering('taskset', ['-c', ONE_CORE, await compile('kernel', ['isal'], folder)])
        const ours = answeringScript('kernel-child.ts', true)
        const line = `${mode} ${k} ${n} ${t} ${innerBlockBytes(k - t)} ${isFull ? 300 : 60}`
        const [a, b] = await interleave(repetitions, [() => ours.ask(line), () => isal.ask(line)])
        await Promise.all([ours.close(), isal.close()])
        const detail = `${gigabytes(a!)} : ${gigabytes(b!)}`
        return [{ name, value: a! / b!, unit: MORE, goal: goals[mode], peer: 'ISA-L ec_encode_data, one core', detail }]
      },
    }
  }),
)
