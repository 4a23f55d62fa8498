import { join } from 'node:path'
import { schemes } from './kernel.ts'
import { MORE, gigabytes, interleave, type Measurement, type Options, type Row } from './row.ts'
import { Answering, ONE_CORE, answeringScript, compile, cpuSecondsOnOneCore, makeFile, need, run } from './tools.ts'

const MIB = 1024 * 1024

interface Programs {
  readonly ours: Answering
  readonly inline: Answering
  readonly c: Answering
  readonly path: string
  readonly sizeBytes: number
}

async function withPrograms(options: Options, work: (programs: Programs) => Promise<Row[]>): Promise<Row[]> {
  const sizeBytes = (options.isFull ? 1024 : 256) * MIB
  const path = makeFile(join(options.folder, 'compute.bin'), sizeBytes)
  const c = new Answering('taskset', ['-c', ONE_CORE, await compile('pipeline', ['crypto', 'isal'], options.folder)])
  const ours = answeringScript('compute-child.ts', true)
  const inline = answeringScript('compute-child.ts', true, { ENGINE: 'inline' })
  try {
    return await work({ ours, inline, c, path, sizeBytes })
  } finally {
    await Promise.all([ours.close(), inline.close(), c.close()])
  }
}

/** seal + split + tags of a file on tmpfs, and check + combine + open, in front of nothing: one core. */
export const computeMeasurements: Measurement[] = [
  ...schemes.map(([k, n, t]): Measurement => {
    const isDefault = k === 3 && n === 5 && t === 1
    const suffix = isDefault ? '' : `.${k}-${n}-${t}`
    const names = [
      `store.compute.vs-c${suffix}`,
      `read.compute.vs-c${suffix}`,
      ...(isDefault ? ['store.compute.inline.vs-c', 'read.compute.inline.vs-c'] : []),
    ]
    return {
      names,
      unit: MORE,
      run: (options) =>
        withPrograms(options, async ({ ours, inline, c, path }) => {
          const rows: Row[] = []
          for (const mode of ['split', 'combine'] as const) {
            const line = `${mode} ${k} ${n} ${t} ${path}`
            const askers = [ours, c, ...(isDefault ? [inline] : [])]
            const [a, b, i] = await interleave(
              options.repetitions,
              askers.map((program) => () => program.ask(line)),
            )
            const name = `${mode === 'split' ? 'store' : 'read'}.compute`
            const common = { unit: MORE, peer: 'C: OpenSSL + ISA-L, one core' }
            const detail = `${gigabytes(a!)} : ${gigabytes(b!)}`
            rows.push({
              ...common,
              name: `${name}.vs-c${suffix}`,
              value: a! / b!,
              goal: isDefault ? 0.6 : null,
              detail,
            })
            if (i !== undefined)
              rows.push({ ...common, name: `${name}.inline.vs-c`, value: i / b!, goal: null, detail: gigabytes(i) })
          }
          return rows
        }),
    }
  }),
  {
    names: ['store.compute.vs-age'],
    unit: MORE,
    run: (options) =>
      withPrograms(options, async ({ ours, path, sizeBytes }) => {
        await need('age', 'age')
        const recipient = (await run('sh', ['-c', 'age-keygen 2>/dev/null | age-keygen -y'])).trim()
        const [a, b] = await interleave(options.repetitions, [
          () => ours.ask(`split 3 5 1 ${path}`),
          async () => sizeBytes / 1e9 / (await cpuSecondsOnOneCore('age', ['-r', recipient, '-o', '/dev/null', path])),
        ])
        const detail = `${gigabytes(a!)} : ${gigabytes(b!)}`
        const peer = 'age to /dev/null, one core'
        return [{ name: 'store.compute.vs-age', value: a! / b!, unit: MORE, goal: 0.7, peer, detail }]
      }),
  },
]
