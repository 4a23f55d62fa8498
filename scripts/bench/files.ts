import { createHash } from 'node:crypto'
import { createReadStream, mkdirSync, rmSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { MORE, gigabytes, interleave, type Measurement, type Options, type Row } from './row.ts'
import { Answering, answeringScript, compile, makeFile, need, run, secondsOf, warmMemory } from './tools.ts'

const MIB = 1024 * 1024

interface Peer {
  readonly name: string
  readonly program: string
  readonly debianPackage: string
  readonly goal: number
  /** Bytes that it is given; the slow ones get fewer. */
  readonly sizeShare: number
  /** Makes what the timed part needs; gives the timed part. */
  prepare(
    folder: string,
    path: string,
  ): Promise<{ program: string; args: string[]; environment?: Record<string, string> }>
}

const peers: Peer[] = [
  {
    ...{ name: 'age', program: 'age', debianPackage: 'age', goal: 1, sizeShare: 1 },
    async prepare(folder, path) {
      const recipient = (await run('sh', ['-c', 'age-keygen 2>/dev/null | age-keygen -y'])).trim()
      return { program: 'age', args: ['-r', recipient, '-o', join(folder, 'age'), path] }
    },
  },
  {
    ...{ name: 'restic', program: 'restic', debianPackage: 'restic', goal: 4, sizeShare: 1 },
    async prepare(folder, path) {
      const environment = { RESTIC_PASSWORD: 'bench', RESTIC_CACHE_DIR: join(folder, 'cache') }
      await run('restic', ['-q', '-r', join(folder, 'restic'), 'init'], environment)
      return { program: 'restic', args: ['-q', '-r', join(folder, 'restic'), 'backup', path], environment }
    },
  },
  {
    ...{ name: 'rclone', program: 'rclone', debianPackage: 'rclone', goal: 4, sizeShare: 1 },
    async prepare(folder, path) {
      const secret = (await run('rclone', ['obscure', 'a password of benchmarks'])).trim()
      const remote = `:crypt,remote="${join(folder, 'rclone')}",password="${secret}":copy`
      return { program: 'rclone', args: ['-q', 'copyto', path, remote], environment: { RCLONE_CONFIG: '/dev/null' } }
    },
  },
  {
    ...{ name: 'gfsplit', program: 'gfsplit', debianPackage: 'libgfshare-bin', goal: 8, sizeShare: 1 / 8 },
    prepare: (folder, path) =>
      Promise.resolve({ program: 'gfsplit', args: ['-n', '3', '-m', '5', path, join(folder, 'share')] }),
  },
]

/** A vault in a process of its own: starting peers from its process would make its memory slow (docs/PERFORMANCE.md, "Starting a tool"). */
async function openVault(folder: string): Promise<Answering> {
  const vault = answeringScript('files-child.ts', false)
  await vault.ask(`open ${folder}`)
  return vault
}

async function sha256(path: string): Promise<string> {
  const hash = createHash('sha256')
  for await (const chunk of createReadStream(path)) hash.update(chunk as Uint8Array)
  return hash.digest('hex')
}

/** A running vault has stored and read before: turns of ours ahead of those that count, until its code is compiled. */
const WARMING_TURNS = 4

async function warmUp(turn: () => Promise<unknown>): Promise<void> {
  for (let i = 0; i < WARMING_TURNS; i++) await turn()
}

/** A warm turn that stores the file and forgets it; gives GB/s. */
async function storing(vault: Answering, path: string, size: number): Promise<() => Promise<number>> {
  const turn = async (): Promise<number> => {
    const seconds = await vault.ask(`store ${path}`)
    await vault.ask('forget')
    return size / seconds / 1e9
  }
  await warmUp(turn)
  return turn
}

function sizeBytes({ isFull }: Options): number {
  return (isFull ? 1024 : 256) * MIB
}

/** From a file on tmpfs to five directory nodes on tmpfs through the whole store stage, with all cores. */
export const fileMeasurements: Measurement[] = [
  ...peers.map((peer): Measurement => {
    const name = `store.files.vs-${peer.name}`
    return {
      names: [name],
      unit: MORE,
      async run(options): Promise<Row[]> {
        await need(peer.program, peer.debianPackage)
        const size = sizeBytes(options)
        const path = makeFile(join(options.folder, 'in.bin'), size)
        const peerPath = makeFile(join(options.folder, 'peer.bin'), size * peer.sizeShare)
        const place = join(options.folder, 'peer')
        const vault = await openVault(options.folder)
        const storeTurn = await storing(vault, path, size)
        let turn = 0
        const [a, b] = await interleave(
          options.repetitions,
          [
            storeTurn,
            async () => {
              const folder = join(place, String(turn++))
              warmMemory(folder, 0)
              const { program, args, environment } = await peer.prepare(folder, peerPath)
              const seconds = await secondsOf(program, args, environment)
              rmSync(folder, { recursive: true, force: true })
              return (size * peer.sizeShare) / seconds / 1e9
            },
          ],
          () => warmMemory(options.folder, 2.6 * size),
        )
        await vault.close()
        const detail = `${gigabytes(a!)} : ${gigabytes(b!)}`
        return [{ name, value: a! / b!, unit: MORE, goal: peer.goal, peer: `${peer.program}, file to file`, detail }]
      },
    }
  }),
  {
    // what can be had of this machine: the same promises in C, and what is left of them without any cryptography but the hash
    names: ['store.files.vs-c', 'store.files.c.vs-age', 'store.files.copying.vs-age'],
    unit: MORE,
    async run(options): Promise<Row[]> {
      await need('age', 'age')
      const size = sizeBytes(options)
      const path = makeFile(join(options.folder, 'in.bin'), size)
      const place = join(options.folder, 'fragments')
      mkdirSync(place)
      const age = await peers.find(({ name }) => name === 'age')!.prepare(options.folder, path)
      const c = new Answering(await compile('files', ['crypto', 'isal', 'pthread'], options.folder), [])
      const vault = await openVault(options.folder)
      const storeTurn = await storing(vault, path, size)
      const [ours, inC, copying, plain] = await interleave(
        options.repetitions,
        [
          storeTurn,
          () => c.ask(`shv 3 5 1 ${path} ${place}`),
          () => c.ask(`hv 3 5 1 ${path} ${place}`),
          async () => {
            const seconds = await secondsOf(age.program, age.args)
            rmSync(join(options.folder, 'age'))
            return size / seconds / 1e9
          },
        ],
        () => warmMemory(options.folder, 2.6 * size),
      )
      await Promise.all([vault.close(), c.close()])
      const row = (name: string, a: number, b: number, peer: string): Row => {
        return { name, value: a / b, unit: MORE, goal: null, peer, detail: `${gigabytes(a)} : ${gigabytes(b)}` }
      }
      return [
        row('store.files.vs-c', ours!, inC!, 'C: same promises, no vault'),
        row('store.files.c.vs-age', inC!, plain!, 'C with the same promises : age'),
        row('store.files.copying.vs-age', copying!, plain!, 'C that reads, hashes, writes 2.5 times, reads back : age'),
      ]
    },
  },
  {
    names: ['read.files.vs-age'],
    unit: MORE,
    async run(options): Promise<Row[]> {
      await need('age', 'age')
      const size = sizeBytes(options)
      const path = makeFile(join(options.folder, 'in.bin'), size)
      const [key, sealed, out] = ['key', 'sealed', 'out'].map((name) => join(options.folder, name)) as [
        string,
        string,
        string,
      ]
      await run('age-keygen', ['-o', key])
      const recipient = (await run('age-keygen', ['-y', key])).trim()
      await run('age', ['-r', recipient, '-o', sealed, path])
      const vault = await openVault(options.folder)
      await vault.ask(`store ${path}`)
      await vault.ask('lose 2')
      const readTurn = async (): Promise<number> => size / (await vault.ask(`read ${out}`)) / 1e9
      await warmUp(readTurn)
      const [a, b] = await interleave(
        options.repetitions,
        [readTurn, async () => size / (await secondsOf('age', ['-d', '-i', key, '-o', out, sealed])) / 1e9],
        () => {
          rmSync(out, { force: true })
          warmMemory(options.folder, size)
        },
      )
      await vault.ask(`read ${out}`)
      if (statSync(out).size !== size || (await sha256(out)) !== (await sha256(path)))
        throw new Error('what was read is not what was stored')
      await vault.close()
      const detail = `${gigabytes(a!)} : ${gigabytes(b!)}`
      return [
        {
          name: 'read.files.vs-age',
          value: a! / b!,
          unit: MORE,
          goal: 1.3,
          peer: 'age -d, file to file; two nodes gone',
          detail,
        },
      ]
    },
  },
]
