import { spawn, type ChildProcess } from 'node:child_process'
import { createHash, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { splitMasterKey } from '../../../src/adapters/file-keyring/custody.ts'
import { nodePrimitives } from '../../../src/adapters/node-primitives.ts'
import { nodeRandom } from '../../../src/adapters/node-system.ts'
import type { Group } from '../../../src/main/groups.ts'
import { compiled } from '../../support/compiled.ts'
import { needs } from '../../support/services/service.ts'
import { Member, mosaik, uploadFile } from './fleet.ts'

// A keyring in the custody of officers, with processes as they are run: sealed, opened by 3 of 5, sealed again.

interface Processes {
  readonly processes: readonly { process: string; state: string; sharesGiven: number; sharesNeeded: number }[]
}

describe('a vault in custody', () => {
  const postgres = needs('postgres')
  const redis = needs('redis', { instance: 'custody' })
  const folder = mkdtempSync(join(tmpdir(), 'mosaik-custody-'))
  // longer than the path of a socket may be
  const data = join(folder, 'a-data-folder-with-a-long-name-'.repeat(3), 'data')
  const shares = join(folder, 'shares')
  const share = (number: number): string => join(shares, `share-${number}.txt`)
  const content = randomBytes(700_000)
  const members: Member[] = []
  let environment: NodeJS.ProcessEnv = {}
  let tokens = { host: '', operator: '' }

  beforeAll(async () => {
    if (!postgres.available || !redis.available) return
    environment = {
      PATH: process.env['PATH'],
      MOSAIK_DATA: data,
      MOSAIK_PORT: '0',
      MOSAIK_DATABASE_URL: await postgres.get().createDatabase(),
      MOSAIK_REDIS_URL: redis.get().url,
      MOSAIK_PASSPHRASE: 'the passphrase before',
    }
    await mosaik(environment, 'setup', '--scheme', '2,3,1', '--placement', 'none')
    const token = async (role: string) => (await mosaik<{ token: string }>(environment, 'token', 'add', role)).token
    tokens = { host: await token('host'), operator: await token('operator') }
    const api = start('api')
    const url = String((await api.line('process.ready'))['url'])
    const remote = { ...environment, MOSAIK_URL: url, MOSAIK_TOKEN: tokens.operator }
    for (const name of ['one', 'two', 'three']) {
      const path = join(folder, 'nodes', name)
      mkdirSync(path, { recursive: true })
      const owner = ['--country', 'FI', '--operator', name, '--site', name]
      await mosaik(remote, 'nodes', 'add', name, ...owner, '--path', path)
    }
    await expect(mosaik(environment, 'keys', 'status')).rejects.toThrow(/not in the custody/)
    const custody = ['keys', 'custody', '--officers', '5', '--threshold', '3', '--share-files', shares]
    await expect(mosaik(environment, ...custody)).rejects.toThrow(/E_CONFLICT.*stop the vault/)
    expect(existsSync(shares)).toBe(false)
    api.kill('SIGTERM')
    await api.exit()
    expect(await mosaik(environment, ...custody)).toMatchObject({ officers: 5, threshold: 3 })
    delete environment['MOSAIK_PASSPHRASE']
  })
  afterAll(async () => {
    for (const member of members) member.kill('SIGKILL')
    await Promise.all(members.map((member) => member.exit()))
    rmSync(folder, { recursive: true, force: true })
  })

  const start = (group: Group): Member => {
    const member = new Member(group, environment)
    members.push(member)
    return member
  }
  const unseal = async (number: number) =>
    await mosaik<Processes>(environment, 'keys', 'unseal', '--share-file', share(number))
  const given = ({ processes }: Processes) =>
    processes.map(({ process, state, sharesGiven }) => [process, state, sharesGiven]).toSorted()
  const call = async (url: string, path: string): Promise<Response> =>
    await fetch(`${url}${path}`, { headers: { authorization: `Bearer ${tokens.host}` } })
  const times = (member: Member, event: string): number => member.lines.filter((line) => line.event === event).length
  const until = async (what: string, look: () => boolean | Promise<boolean>): Promise<void> => {
    for (let waitedMs = 0; waitedMs < 60_000; waitedMs += 50) {
      if (await look()) return
      await sleep(50)
    }
    throw new Error(`${what} did not happen:\n${members.map((one) => `${one.group}\n${one.output}`).join('\n')}`)
  }
  const stored = async (url: string, recording: string): Promise<void> =>
    await until('a stored recording', async () => {
      const view = (await (await call(url, `/api/v1/recordings/${recording}`)).json()) as { state: string }
      return ['stored', 'transcoding', 'ready', 'unplayable'].includes(view.state)
    })
  const hashOf = async (url: string, recording: string): Promise<string> => {
    const response = await call(url, `/api/v1/recordings/${recording}/original`)
    expect(response.status).toBe(200)
    return createHash('sha256')
      .update(new Uint8Array(await response.arrayBuffer()))
      .digest('hex')
  }
  const contentHash = createHash('sha256').update(content).digest('hex')

  test('writes one file an officer, for that officer only', () => {
    expect(readdirSync(shares).toSorted()).toEqual([1, 2, 3, 4, 5].map((number) => `share-${number}.txt`))
    for (const number of [1, 2, 3, 4, 5]) {
      expect(statSync(share(number)).mode & 0o777).toBe(0o600)
      expect(readFileSync(share(number), 'utf8')).toMatch(
        new RegExp(`^# Share ${number} of 5 .* vault [0-9a-f]{16}; 3 are needed`),
      )
    }
  })

  test(
    'starts sealed, says so, refuses wrong shares, opens with 3 of 5, stores and reads; what is killed is sealed again',
    { timeout: 300_000 },
    async () => {
      await expect(
        mosaik(
          { ...environment, MOSAIK_PASSPHRASE: 'the passphrase before' },
          'keys',
          'unseal',
          '--share-file',
          share(1),
        ),
      ).rejects.toThrow(/E_CONFLICT.*no process of the vault/)
      const [api, store] = [start('api'), start('store')]
      const url = String((await api.line('vault.sealed'))['url'])
      await store.line('vault.sealed')

      // Sealed: health says so, with counts; everything else is one clear error.
      const health = async () => (await (await fetch(`${url}/healthz`)).json()) as unknown
      expect(await health()).toEqual({ status: 'sealed', sharesGiven: 0, sharesNeeded: 3 })
      for (const path of ['/api/v1/recordings', '/api/v1/uploads', '/s']) {
        const refused = await call(url, path)
        expect([refused.status, refused.headers.get('content-type'), refused.headers.get('retry-after')]).toEqual([
          ...[503, 'application/problem+json', '5'],
        ])
        expect(await refused.json()).toMatchObject({ code: 'E_VAULT_SEALED', type: 'urn:mosaik:error:E_VAULT_SEALED' })
      }
      expect((await store.get('/readyz')).status).toBe(503)
      expect((await store.get('/healthz')).text).toContain('"sealed"')
      expect(await store.metric('mosaik_sealed')).toBe(1)

      // Shares, one officer after the other; wrong ones change nothing.
      expect(given(await unseal(1))).toEqual([
        ['api', 'sealed', 1],
        ['store', 'sealed', 1],
      ])
      await expect(unseal(1)).rejects.toThrow(/E_KEYRING_SHARE.*share 1 was given already/)
      const foreign = join(folder, 'foreign.txt')
      writeFileSync(foreign, splitMasterKey({ primitives: nodePrimitives, random: nodeRandom() }, 5, 3).mnemonics[1]!)
      const wrong = mosaik(environment, 'keys', 'unseal', '--share-file', foreign)
      await expect(wrong).rejects.toThrow(/E_KEYRING_SHARE.*of another vault/)
      writeFileSync(foreign, readFileSync(share(2), 'utf8').replace(/ (\w+) (\w+)\n$/, ' $2 $1\n'))
      await expect(mosaik(environment, 'keys', 'unseal', '--share-file', foreign)).rejects.toThrow(/E_KEYRING_SHARE/)
      expect(await health()).toEqual({ status: 'sealed', sharesGiven: 1, sharesNeeded: 3 })
      await unseal(3)
      await unseal(5)
      const ready = await api.line('process.ready')
      expect(ready['url']).toBe(url)
      await store.line('process.ready')
      const first = await uploadFile(url, tokens.host, content, { filename: 'first.mp4', title: 'first', host: 'h' })
      await stored(url, first)
      expect(await hashOf(url, first)).toBe(contentHash)

      // A process that was killed and comes again is sealed; the others are not, and work waits for it.
      store.kill('SIGKILL')
      await store.exit()
      const second = await uploadFile(url, tokens.host, content, { filename: 'second.mp4', title: 'second', host: 'h' })
      const again = start('store')
      await again.line('vault.sealed')
      expect(((await (await call(url, `/api/v1/recordings/${second}`)).json()) as { state: string }).state).toBe(
        'received',
      )
      for (const number of [2, 3]) expect(given(await unseal(number))).toEqual([['store', 'sealed', number - 1]])
      expect(given(await mosaik<Processes>(environment, 'keys', 'status'))).toEqual([
        ['api', 'open', 0],
        ['store', 'sealed', 2],
      ])
      await unseal(4)
      await again.line('process.ready')
      await stored(url, second)
      expect(await hashOf(url, second)).toBe(contentHash)

      // Sealed on request: keys are forgotten, and shares given until then.
      await mosaik(environment, 'keys', 'seal')
      await until('both sealed again', () => times(api, 'vault.sealed') === 2 && times(again, 'vault.sealed') === 2)
      const sealedUrl = String(api.lines.findLast(({ event }) => event === 'vault.sealed')!['url'])
      expect((await call(sealedUrl, '/api/v1/recordings')).status).toBe(503)
      await unseal(1)
      await mosaik(environment, 'keys', 'seal')
      expect(given(await mosaik<Processes>(environment, 'keys', 'status'))).toEqual([
        ['api', 'sealed', 0],
        ['store', 'sealed', 0],
      ])
      for (const number of [4, 5, 1]) await unseal(number)
      await until('both open again', () => times(api, 'process.ready') === 2 && times(again, 'process.ready') === 2)
      const openUrl = String(api.lines.findLast(({ event }) => event === 'process.ready')!['url'])
      expect(await hashOf(openUrl, first)).toBe(contentHash)

      // It ends as ever, sealed or open, and leaves no socket and no word of a share.
      const waiting = start('transcode')
      await waiting.line('vault.sealed')
      for (const member of [api, again, waiting]) {
        member.kill('SIGTERM')
        expect(await member.exit(), member.output).toEqual({ code: 0, signal: null })
      }
      expect(readdirSync(join(data, 'seal'))).toEqual([])
      const written = members.map(({ output }) => output).join('\n')
      for (const number of [1, 2, 3, 4, 5]) {
        const words = readFileSync(share(number), 'utf8').split('\n')[1]!.split(' ')
        for (let i = 0; i + 3 < words.length; i++) expect(written).not.toContain(words.slice(i, i + 3).join(' '))
      }
    },
  )

  test('says to commands that open the keyring themselves what they need', async () => {
    for (const command of [['rotate-keys', '--status'], ['fsck'], ['keys', 'passphrase']]) {
      await expect(mosaik(environment, ...command)).rejects.toThrow(
        /E_VAULT_SEALED.*3 shares of officers: run it on a terminal/,
      )
    }
  })
})

describe('the embedded vault in custody', () => {
  const folder = mkdtempSync(join(tmpdir(), 'mosaik-custody-start-'))
  const data = join(folder, 'data')
  const environment = { PATH: process.env['PATH'], MOSAIK_DATA: data, MOSAIK_PORT: '0' }
  const children: ChildProcess[] = []
  afterAll(() => {
    for (const child of children) child.kill('SIGKILL')
    rmSync(folder, { recursive: true, force: true })
  })

  /** `mosaik start`; what it says, and how it ends. */
  function startVault() {
    const cli = fileURLToPath(new URL('../../../src/main/cli.ts', import.meta.url))
    const command = ['--disable-warning=ExperimentalWarning', cli, 'start', '--no-sample']
    const child = spawn(process.execPath, command, {
      env: { ...compiled, ...environment },
      stdio: ['ignore', 'pipe', 'pipe'],
      detached: true,
    })
    children.push(child)
    let said = ''
    child.stdout.on('data', (chunk: Buffer) => (said += chunk.toString()))
    child.stderr.on('data', (chunk: Buffer) => (said += chunk.toString()))
    const ended = once(child, 'close')
    return {
      async says(text: string, times = 1): Promise<void> {
        while (said.split(text).length <= times) {
          if (child.exitCode !== null) throw new Error(`ended before: ${text}\n${said}`)
          await sleep(50)
        }
      },
      async stop(): Promise<unknown> {
        child.kill('SIGTERM')
        return ((await ended) as unknown[])[0]
      },
    }
  }

  test('starts sealed, is opened, is sealed again, and stops in both', { timeout: 300_000 }, async () => {
    const before = startVault()
    await before.says('Serving')
    expect(await before.stop()).toBe(0)
    const shares = join(folder, 'shares')
    await mosaik(environment, 'keys', 'custody', '--officers', '3', '--threshold', '2', '--share-files', shares)
    expect(existsSync(join(data, 'passphrase'))).toBe(false)

    const vault = startVault()
    await vault.says('The vault is sealed')
    await expect(mosaik(environment, 'ls')).rejects.toThrow(/E_VAULT_SEALED.*given 0 of 2 shares/)
    const unseal = async (number: number) =>
      await mosaik(environment, 'keys', 'unseal', '--share-file', join(shares, `share-${number}.txt`))
    await unseal(3)
    await unseal(1)
    await vault.says('Serving')
    expect(await mosaik(environment, 'ls')).toEqual({ recordings: [] })
    await expect(unseal(2)).rejects.toThrow(/no process .* is sealed/)
    await mosaik(environment, 'keys', 'seal')
    await vault.says('The vault is sealed', 2)
    await expect(mosaik(environment, 'ls')).rejects.toThrow(/E_VAULT_SEALED/)
    expect(await vault.stop()).toBe(0)

    const again = startVault()
    await again.says('The vault is sealed')
    await unseal(2)
    await unseal(3)
    await again.says('Serving')
    expect(await again.stop()).toBe(0)
  })
})
