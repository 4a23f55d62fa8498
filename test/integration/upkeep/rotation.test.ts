import { randomBytes } from 'node:crypto'
import { copyFileSync, mkdtempSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterEach, describe, expect, it } from 'vitest'
import { main } from '../../../scripts/standalone-reader/read.ts'
import { openFileKeyring } from '../../../src/adapters/file-keyring/file-keyring.ts'
import { describeFile } from '../../../src/adapters/file-source.ts'
import { nodePrimitives as primitives } from '../../../src/adapters/node-primitives.ts'
import { keyId, rootSigningSeed } from '../../../src/crypto/keys.ts'
import { signingKeys, signPair } from '../../../src/crypto/signature.ts'
import { toHex, type Id } from '../../../src/domain/ids.ts'
import { encodeRecoveryKey } from '../../../src/format/recovery-key.ts'
import { decodeSealedDocument } from '../../../src/format/sealed-document.ts'
import { decodeVaultCard } from '../../../src/format/vault-card.ts'
import { trustCards } from '../../../src/ledger/vault-card.ts'
import { shareSigner } from '../../../src/main/share-signer.ts'
import { destroyOldKeys, rotateKeys, rotationStatus, type RotationPorts } from '../../../src/main/rotate-keys.ts'
import { commitState } from '../../../src/pipeline/commit-state.ts'
import { newestState } from '../../../src/retrieve/newest-state.ts'
import { combineShares, parseAndVerifyShare } from '../../../src/retrieve/open-document.ts'
import { createVaultReader } from '../../../src/retrieve/open-recording.ts'
import { signersOf } from '../../../src/retrieve/signers.ts'
import { fsck } from '../../../src/upkeep/blind/fsck.ts'
import { repair } from '../../../src/upkeep/blind/repair.ts'
import { survey } from '../../../src/upkeep/blind/survey.ts'
import { rewrap, type Rewrapped, type RewrapPorts } from '../../../src/upkeep/keyed/rewrap.ts'
import { makeStage, never, sha256, type Stage } from '../../support/upkeep-stage.ts'

const PAUSE_MS = 250

let stage: Stage
const folders: string[] = []
afterEach(async () => {
  await stage.close()
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true })
})
const code = (expected: string) => expect.objectContaining({ code: expected }) as Error

/** Rewraps without waiting in between; `onPause` is called where it would wait. */
function rewrapPorts(onPause: () => Promise<void> = () => Promise.resolve()): RewrapPorts {
  const { clock: real } = stage
  // Deadlines of nodes are real ones; only the pause between two recordings is not.
  const clock = {
    ...real,
    sleep: (delayMs: number, signal?: AbortSignal) => (delayMs === PAUSE_MS ? onPause() : real.sleep(delayMs, signal)),
  }
  return { ...stage, clock, open: (...given) => createVaultReader(stage).open(...given) }
}
const rewrapAll = async (onPause?: () => Promise<void>): Promise<Rewrapped> =>
  (await rewrap(rewrapPorts(onPause), stage.organisation, { perMinute: 60_000 / PAUSE_MS }, never))!
const status = () => rotationStatus(stage, stage.organisation)
const destroyed = () => destroyOldKeys(stage, stage.organisation)

/** Reads all recordings with a reader that remembers nothing. */
async function readAll(contents: ReadonlyMap<Id, Uint8Array>): Promise<void> {
  for (const [recording, content] of contents) {
    const opened = await createVaultReader(stage).open(stage.organisation, recording, 'download', never)
    const original = opened.manifest.assets.find(({ kind }) => kind === 'original')!
    const parts: Uint8Array[] = []
    for await (const part of opened.asset(original.id).read(0, original.contentBytes, never)) parts.push(part)
    expect(Buffer.concat(parts).equals(content)).toBe(true)
  }
}

async function storeSome(count: number): Promise<Map<Id, Uint8Array>> {
  const contents = new Map<Id, Uint8Array>()
  for (let i = 0; i < count; i++) {
    const content = randomBytes(400 + i)
    contents.set(await stage.store(content, `meeting ${i}`), content)
  }
  return contents
}

/** Key ids that the newest manifest of a recording is sealed to. */
async function recipientsOf(recording: Id): Promise<string[]> {
  const trusted = await signersOf(stage, stage.organisation)
  const shares = (await stage.sharesOf(recording)).map(({ node, key }) =>
    parseAndVerifyShare(primitives, stage.storeOf(node).objects.get(key)!, trusted),
  )
  return decodeSealedDocument(combineShares(shares)).header.recipients.map(toHex)
}

async function presentKeyId(): Promise<string> {
  const { kem } = await stage.keyring.publicKeys(stage.organisation)
  return toHex(keyId(primitives, 1, kem[0]!.publicKey))
}

function rootSigner(recoverySeed: Uint8Array) {
  const keys = signingKeys(primitives, rootSigningSeed(primitives, recoverySeed))
  return {
    keys: keys.publicKeys,
    sign: (message: Uint8Array) => Promise.resolve(signPair(keys, 'mosaik/v1/card', message)),
  }
}

describe('rotation of keys', () => {
  it('wraps everything anew while all of it can be read, and then does without the old keys', async () => {
    stage = await makeStage()
    const contents = await storeSome(4)
    const oldKey = await presentKeyId()
    const rotated = await rotateKeys(stage, stage.organisation)
    expect(rotated).toMatchObject({ epoch: 2 })
    const newKey = await presentKeyId()
    expect(newKey).not.toBe(oldKey)
    await readAll(contents)
    // What comes in between is of the new epoch at once.
    const later = randomBytes(300)
    contents.set(await stage.store(later), later)
    expect(await status()).toMatchObject({ epoch: 2, oldEpochs: [1], recordings: 5, toRewrap: 4 })
    await expect(destroyed()).rejects.toThrow(code('E_CONFLICT'))
    expect((await stage.keyring.heldEpochs(stage.organisation)).epochs).toEqual([1, 2])

    expect(await rewrapAll(() => readAll(contents))).toEqual({ rewrapped: 4, waiting: 0 })
    expect(await status()).toMatchObject({ toRewrap: 0 })
    for (const recording of contents.keys()) {
      const recipients = await recipientsOf(recording)
      expect(recipients).toContain(newKey)
      expect(recipients).not.toContain(oldKey)
      expect(recipients).toHaveLength(2)
    }
    // A second run finds nothing to do.
    expect(await rewrapAll()).toEqual({ rewrapped: 0, waiting: 0 })

    expect(await destroyed()).toEqual({ destroyed: [1] })
    expect(await destroyed()).toEqual({ destroyed: [] })
    expect((await stage.keyring.heldEpochs(stage.organisation)).epochs).toEqual([2])
    await readAll(contents)
    expect((await fsck(stage, never)).violations).toEqual([])
    // The chain goes on: a third epoch, signed by the second.
    expect(await rotateKeys(stage, stage.organisation)).toMatchObject({ epoch: 3 })
    expect(await rewrapAll()).toEqual({ rewrapped: 5, waiting: 0 })
    await readAll(contents)
    const audit = await stage.catalog.audit.audit(stage.organisation, 100)
    expect(audit.map(({ kind }) => kind)).toEqual(expect.arrayContaining(['keys-rotated', 'old-keys-destroyed']))
  })

  it('keeps source, people, salt, receipt and assets of a manifest as they are, and names the generation before', async () => {
    stage = await makeStage()
    const recording = await stage.store(randomBytes(900))
    const open = async () =>
      (await createVaultReader(stage).open(stage.organisation, recording, 'download', never)).manifest
    const before = await open()
    const receipt = await stage.catalog.recordings.receipt(recording)
    const row = await stage.catalog.layout.generation(recording, before.generation)
    await rotateKeys(stage, stage.organisation)
    await rewrapAll()
    const after = await open()
    expect(after).toEqual({ ...before, generation: before.generation + 1, previous: row!.sealedSha256 })
    expect(await stage.catalog.recordings.receipt(recording)).toEqual(receipt)
    expect(await stage.catalog.layout.generation(recording, after.generation)).toMatchObject({ epoch: 2 })
  })

  it('comes into force only when every node has the card; the next run goes on with the same keys', async () => {
    stage = await makeStage()
    const contents = await storeSome(1)
    stage.stores[2]!.fault = () => ({ fail: 'E_NODE_UNREACHABLE' })
    await expect(rotateKeys(stage, stage.organisation)).rejects.toThrow(code('E_NODES_TOO_FEW'))
    expect(await stage.keyring.publicKeys(stage.organisation)).toMatchObject({ epoch: 1 })
    expect(await status()).toMatchObject({ epoch: 1, next: 2 })
    const card = (await stage.catalog.installation.cards(stage.organisation)).at(-1)
    expect(decodeVaultCard(card).epoch).toBe(2)
    stage.stores[2]!.fault = undefined
    await rotateKeys(stage, stage.organisation)
    expect(await status()).toMatchObject({ epoch: 2, next: null })
    expect((await stage.catalog.installation.cards(stage.organisation)).at(-1)).toEqual(card)
    for (const { objects } of stage.stores) {
      const cards = [...objects].filter(([key]) => key.startsWith('card/')).map(([, bytes]) => decodeVaultCard(bytes))
      expect(cards.map(({ epoch }) => epoch).toSorted()).toEqual([1, 2])
    }
    await readAll(contents)
  })

  it('lets a node that is read-only wait for its card', async () => {
    stage = await makeStage({ nodesCount: 6 })
    const { id } = stage.nodes[5]!
    await stage.catalog.installation.setNodeState(id, 'read-only')
    stage.stores[5]!.fault = () => ({ fail: 'E_NODE_UNREACHABLE' })
    expect((await rotateKeys(stage, stage.organisation)).nodes).toHaveLength(5)
  })

  it('signs the new card with the recovery key when it is given, also after it was shown', async () => {
    stage = await makeStage()
    const seed = (await stage.keyring.pendingRecoverySeed(stage.organisation))!
    await stage.keyring.confirmRecoveryShown(stage.organisation)
    await rotateKeys(stage, stage.organisation, rootSigner(seed))
    const cards = await stage.catalog.installation.cards(stage.organisation)
    // Trusted without the card before, which only a root-signed one is.
    const { trusted } = trustCards(primitives, [cards[1]!], rootSigner(seed).keys)
    expect(trusted.map(({ card }) => card.epoch)).toEqual([2])
    await expect(rotateKeys(stage, stage.organisation, rootSigner(randomBytes(32)))).rejects.toThrow(code('E_INPUT'))
    expect(await status()).toMatchObject({ epoch: 2 })
  })

  it('refuses a keyring that is an older copy than the catalog', async () => {
    stage = await makeStage()
    const copy = mkdtempSync(join(tmpdir(), 'mosaik-keyring-'))
    folders.push(copy)
    copyFileSync(join(stage.folder, 'keyring.json'), join(copy, 'keyring.json'))
    await rotateKeys(stage, stage.organisation)
    const older = await openFileKeyring({
      ...{ folder: copy, passphrase: 'a passphrase of tests', clock: stage.clock, random: stage.random, primitives },
      record: () => Promise.resolve(),
    })
    await expect(rotateKeys({ ...stage, keyring: older }, stage.organisation)).rejects.toThrow(code('E_CONFLICT'))
    expect((await stage.catalog.installation.cards(stage.organisation)).length).toBe(2)
    older.close()
  })

  it(
    'goes on wherever it is cut off, with one card an epoch and everything readable',
    { timeout: 900_000 },
    async () => {
      stage = await makeStage()
      const contents = await storeSome(1)
      let at = 0
      for (let isCut = true; isCut; at++) {
        const before = (await status()).epoch
        const dying = new Dying(at)
        const ports: RotationPorts = {
          ...stage,
          keyring: dying.of(stage.keyring),
          catalog: {
            ...stage.catalog,
            installation: dying.of(stage.catalog.installation),
            audit: dying.of(stage.catalog.audit),
          },
        }
        isCut = await dying.cuts(() => rotateKeys(ports, stage.organisation))
        await readAll(contents)
        if ((await status()).epoch === before) await rotateKeys(stage, stage.organisation)
        const { epoch, next } = await status()
        expect({ epoch, next }).toEqual({ epoch: before + 1, next: null })
        const cards = (await stage.catalog.installation.cards(stage.organisation)).map(
          (one) => decodeVaultCard(one).epoch,
        )
        expect(cards).toEqual(Array.from({ length: epoch }, (_, i) => i + 1))
      }
      expect(at).toBeGreaterThan(10)
      const later = randomBytes(100)
      contents.set(await stage.store(later), later)
      await rewrapAll()
      await destroyed()
      await readAll(contents)
    },
  )

  it('wraps anew wherever that is cut off, and loses no recording on the way', { timeout: 900_000 }, async () => {
    stage = await makeStage({ nodesCount: 3, scheme: { k: 2, n: 3, t: 1 } })
    const contents = await storeSome(1)
    let at = 0
    for (; ; at++) {
      await rotateKeys(stage, stage.organisation)
      const dying = new Dying(at)
      const layout = dying.of(stage.catalog.layout)
      const ports: RewrapPorts = {
        ...rewrapPorts(),
        layout,
        catalog: { recordings: dying.of(stage.catalog.recordings), upkeep: dying.of(stage.catalog.upkeep) },
        keyring: dying.of(stage.keyring),
      }
      const isCut = await dying.cuts(() => rewrap(ports, stage.organisation, { perMinute: 60_000 / PAUSE_MS }, never))
      await readAll(contents)
      // A lease that nobody gave back runs out.
      stage.clock.movedMs += 10 * 60_000
      expect((await rewrapAll()).waiting).toBe(0)
      expect((await status()).toRewrap).toBe(0)
      await destroyed()
      await readAll(contents)
      if (!isCut) break
    }
    expect(at).toBeGreaterThan(15)
    // What the cut-off ones left is the collector's, and nothing else is wrong.
    expect((await fsck(stage, never)).violations).toEqual([])
  })

  it('leaves a recording alone that somebody works on, and comes back to it', async () => {
    stage = await makeStage()
    const contents = await storeSome(1)
    const path = join(stage.folder, 'busy.mp4')
    const content = randomBytes(700)
    writeFileSync(path, content)
    const busy = await stage.deposit(path, await describeFile(path))
    await stage.runOnce(await stage.workOf(busy, 'store'))
    contents.set(busy, content)
    await rotateKeys(stage, stage.organisation)
    const work = await stage.workOf(busy, 'transcode')
    const claimed = await stage.catalog.work.claim(work.id, stage.clock.nowMs(), 60_000)
    expect(claimed).toBeDefined()
    expect(await rewrapAll()).toEqual({ rewrapped: 1, waiting: 1 })
    await expect(destroyed()).rejects.toThrow(code('E_CONFLICT'))
    await stage.catalog.work.finish({ work: work.id, fence: claimed!.fence }, stage.clock.nowMs())
    expect(await rewrapAll()).toEqual({ rewrapped: 1, waiting: 0 })
    await destroyed()
    await readAll(contents)
  })

  it('waits for a recording whose nodes are away, and keeps its old key', async () => {
    stage = await makeStage()
    const contents = await storeSome(1)
    await rotateKeys(stage, stage.organisation)
    for (const store of stage.stores.slice(0, 3)) store.fault = () => ({ fail: 'E_NODE_UNREACHABLE' })
    expect(await rewrapAll()).toEqual({ rewrapped: 0, waiting: 1 })
    await expect(destroyed()).rejects.toThrow(code('E_CONFLICT'))
    for (const store of stage.stores) store.fault = undefined
    expect(await rewrapAll()).toEqual({ rewrapped: 1, waiting: 0 })
    await readAll(contents)
  })

  it('goes on playing and mending what is of the epoch before', async () => {
    stage = await makeStage()
    const contents = await storeSome(1)
    const [recording] = contents.keys()
    await rotateKeys(stage, stage.organisation)
    const lost = (await stage.sharesOf(recording!))[1]!
    stage.storeOf(lost.node).objects.delete(lost.key)
    await stage.catalog.layout.setObjectState(lost.node, lost.key, 'failed')
    await survey(stage, never)
    expect(
      await repair({ ...stage, signer: shareSigner(stage.keyring) }, { bytesPerSecond: Infinity }, never),
    ).toMatchObject({
      shares: 1,
    })
    for (const store of stage.stores) expect(store.openWriters).toBe(0)
    await readAll(contents)
    expect(await rewrapAll()).toEqual({ rewrapped: 1, waiting: 0 })
  })

  it('repairs between card and coming into force with the key that is in force', async () => {
    stage = await makeStage()
    const contents = await storeSome(1)
    const [recording] = contents.keys()
    stage.stores[0]!.fault = ({ key }) => (key.startsWith('card/') ? { fail: 'E_NODE_UNREACHABLE' } : undefined)
    await expect(rotateKeys(stage, stage.organisation)).rejects.toThrow(code('E_NODES_TOO_FEW'))
    const lost = (await stage.sharesOf(recording!))[1]!
    await stage.catalog.layout.setObjectState(lost.node, lost.key, 'failed')
    await survey(stage, never)
    const repaired = await repair({ ...stage, signer: shareSigner(stage.keyring) }, { bytesPerSecond: Infinity }, never)
    expect(repaired).toMatchObject({ shares: 1 })
    await readAll(contents)
  })

  it('knows the newest state whatever epoch signed it', async () => {
    stage = await makeStage()
    await storeSome(1)
    const write = () => commitState({ ...stage, location: () => 'memory' }, stage.organisation, never)
    await write()
    await rotateKeys(stage, stage.organisation)
    expect((await newestState(stage, stage.organisation, never)).generation).toBe(1)
    await write()
    expect((await newestState(stage, stage.organisation, never)).generation).toBe(2)
  })

  it('is restored by the standalone reader at any point, from bare nodes and the recovery key', async () => {
    stage = await makeStage()
    const contents = await storeSome(3)
    const seed = (await stage.keyring.pendingRecoverySeed(stage.organisation))!
    const recoveryKey = encodeRecoveryKey(seed, primitives.sha256)
    const check = async (): Promise<void> => {
      const folder = mkdtempSync(join(tmpdir(), 'mosaik-bare-'))
      folders.push(folder)
      const nodes = [1, 3, 4].map((i) => bareNode(join(folder, String(i)), i))
      const out = join(folder, 'out')
      let said = ''
      const write = (text: string): void => void (said += `${text}\n`)
      const args = ['restore', '--out', out, ...nodes]
      const ended = await main(args, { out: write, err: write, env: { MOSAIK_RECOVERY_KEY: recoveryKey } })
      expect({ ended, said }).toMatchObject({ ended: 0 })
      for (const [recording, content] of contents) {
        const [name] = readdirSync(join(out, recording))
        expect(sha256(readFileSync(join(out, recording, name!)))).toBe(sha256(content))
      }
    }
    await rotateKeys(stage, stage.organisation)
    const later = randomBytes(500)
    contents.set(await stage.store(later), later)
    await check()
    let pauses = 0
    await rewrapAll(async () => {
      if (++pauses === 1) await check()
    })
    await rotateKeys(stage, stage.organisation)
    await rewrapAll()
    await destroyed()
    await check()
  })
})

/** What lies with a node, as files. */
function bareNode(folder: string, index: number): string {
  for (const [key, bytes] of stage.stores[index]!.objects) {
    const path = join(folder, key)
    mkdirSync(dirname(path), { recursive: true })
    writeFileSync(path, bytes)
  }
  return folder
}

/** A process that dies at the call number `at` into the pieces given to it: before it, or after it has taken effect. */
class Dying {
  #left: number
  readonly #isAfter: boolean
  #isDead = false

  constructor(at: number) {
    this.#left = Math.floor(at / 2)
    this.#isAfter = at % 2 === 1
  }

  of<T extends object>(piece: T): T {
    return new Proxy(piece, {
      get: (target, name) => {
        const member = Reflect.get(target, name, target) as unknown
        if (typeof member !== 'function') return member
        return async (...parameters: unknown[]) => {
          if (this.#isDead) throw new Error('the process is dead')
          const dies = this.#left-- === 0
          if (dies) this.#isDead = true
          if (dies && !this.#isAfter) throw new Error('the process is dead')
          const answer = await (member as (...all: unknown[]) => unknown).apply(target, parameters)
          if (dies) throw new Error('the process is dead')
          return answer
        }
      },
    })
  }

  /** True when it died. */
  async cuts(task: () => Promise<unknown>): Promise<boolean> {
    try {
      await task()
    } catch (error) {
      if (!(error instanceof Error && error.message === 'the process is dead')) throw error
    }
    return this.#isDead
  }
}
