import { describe, expect, test } from 'vitest'
import { createLinks } from '../../../src/access/links.ts'
import { nodeClock, nodeRandom } from '../../../src/adapters/node-system.ts'
import type { Id } from '../../../src/domain/ids.ts'
import type { Link } from '../../../src/domain/link.ts'
import type { UploadRow } from '../../../src/ports/catalog/access.ts'
import {
  aNode,
  day,
  newId,
  nodeIn,
  organisationIn,
  outcome,
  someBytes,
  storing,
  type CatalogUnderTest,
} from './fixtures.ts'

export function accessSuite(underTest: () => CatalogUnderTest): void {
  describe('installation', () => {
    test('the id is the first caller’s for ever, also when many ask first at once', async () => {
      const { catalog, another } = underTest()
      const other = await another()
      const answers = await Promise.all(
        Array.from({ length: 20 }, (_, i) => (i % 2 === 0 ? catalog : other).installation.installation(newId())),
      )
      expect(new Set(answers).size).toBe(1)
      expect(await catalog.installation.installation(newId())).toBe(answers[0])
    })

    test('organisations and their policy', async () => {
      const { catalog } = underTest()
      const id = await organisationIn(catalog, 'Grün & Söhne')
      const row = {
        id,
        name: 'Grün & Söhne',
        scheme: { k: 3, n: 5, t: 1 },
        placementRule: 'strict',
        createdAtMs: day,
        stateGeneration: 0,
        stateSha256: null,
      }
      expect(await catalog.installation.organisation(id)).toEqual(row)
      expect(await catalog.installation.organisation(newId())).toBeUndefined()
      await catalog.installation.setOrganisationPolicy(id, { scheme: { k: 2, n: 3, t: 1 } })
      await catalog.installation.setOrganisationPolicy(id, { placementRule: 'none' })
      await catalog.installation.setOrganisationPolicy(id, {})
      expect(await catalog.installation.organisations()).toEqual([
        { ...row, scheme: { k: 2, n: 3, t: 1 }, placementRule: 'none' },
      ])
      expect(await outcome(catalog.installation.setOrganisationPolicy(newId(), {}))).toBe('E_INPUT')
    })

    test('the state advances from the present number only; of many at once one does', async () => {
      const { catalog, another } = underTest()
      const other = await another()
      const id = await organisationIn(catalog)
      const sha = someBytes()
      expect(await catalog.installation.advanceState(id, 1, 2, sha)).toBe(false)
      const results = await Promise.all(
        Array.from({ length: 20 }, (_, i) => (i % 2 === 0 ? catalog : other).installation.advanceState(id, 0, 1, sha)),
      )
      expect(results.filter(Boolean)).toHaveLength(1)
      expect(await catalog.installation.organisation(id)).toMatchObject({ stateGeneration: 1, stateSha256: sha })
    })

    test('vault cards by epoch; the first one of an epoch stays', async () => {
      const { catalog } = underTest()
      const organisation = await organisationIn(catalog)
      const other = await organisationIn(catalog, 'Other')
      const [first, second, third] = [someBytes(4000), someBytes(4001), someBytes(4002)]
      expect(await catalog.installation.cards(organisation)).toEqual([])
      await catalog.installation.putCard(organisation, 10, third)
      await catalog.installation.putCard(organisation, 2, second)
      await catalog.installation.putCard(organisation, 1, first)
      await catalog.installation.putCard(organisation, 2, someBytes(3))
      await catalog.installation.putCard(other, 1, someBytes(3))
      expect(await catalog.installation.cards(organisation)).toEqual([first, second, third])
    })

    test('nodes: kept as given, changed one thing at a time; name and id are unique', async () => {
      const { catalog } = underTest()
      const node = await nodeIn(catalog)
      expect(await catalog.installation.node(node.id)).toEqual(node)
      expect(await outcome(catalog.installation.addNode(aNode({ name: node.name })))).toBe('E_CONFLICT')
      expect(await outcome(catalog.installation.addNode(aNode({ id: node.id })))).toBe('E_CONFLICT')
      const { id } = node
      const ownership = { country: 'FR', operator: 'O', parent: 'P', site: 'S' }
      const wrappedSecret = someBytes(9)
      await catalog.installation.setNodeState(id, 'draining')
      await catalog.installation.setNodeOwnership(id, ownership)
      await catalog.installation.setNodeCapabilities(id, { a: { b: null } })
      await catalog.installation.setNodeSecret(id, wrappedSecret)
      const changed = { ...node, ...ownership, state: 'draining', capabilities: { a: { b: null } }, wrappedSecret }
      expect(await catalog.installation.nodes()).toEqual([changed])
      await catalog.installation.setNodeSecret(id, null)
      expect((await catalog.installation.node(id))?.wrappedSecret).toBeNull()
      expect(await catalog.installation.node(newId())).toBeUndefined()
      const { installation } = catalog
      expect(await outcome(installation.setNodeState(newId(), 'active'))).toBe('E_NODE_UNKNOWN')
      expect(await outcome(installation.setNodeOwnership(newId(), ownership))).toBe('E_NODE_UNKNOWN')
      expect(await outcome(installation.setNodeCapabilities(newId(), {}))).toBe('E_NODE_UNKNOWN')
      expect(await outcome(installation.setNodeSecret(newId(), null))).toBe('E_NODE_UNKNOWN')
    })
  })

  describe('links', () => {
    const linkTo = async (
      change: Partial<Link> = {},
      passcodeHash: string | null = null,
    ): Promise<{ link: Link; organisation: Id }> => {
      const { catalog } = underTest()
      const { recording, organisation } = await storing(catalog)
      const link = {
        id: newId(),
        organisation,
        recording,
        createdAtMs: day,
        expiresAtMs: day + 100_000,
        maxViews: null,
        allowDownload: true,
        ...change,
      }
      await catalog.links.addLink({ ...link, passcodeHash })
      const hasPasscode = passcodeHash !== null
      return { link: { ...link, viewsCount: 0, revokedAtMs: null, hasPasscode }, organisation }
    }
    const grant = (expiresAtMs = day + 5000): { grantSha256: Uint8Array; expiresAtMs: number } => ({
      grantSha256: someBytes(),
      expiresAtMs,
    })

    test('a link is kept as given; a session belongs to one exchange and ends in time', async () => {
      const { catalog } = underTest()
      const { link } = await linkTo({ allowDownload: false, maxViews: 3 })
      expect(await catalog.links.link(link.id)).toEqual(link)
      expect(await catalog.links.links(link.recording)).toEqual([link])
      expect(await catalog.links.link(newId())).toBeUndefined()
      const session = grant()
      expect(await catalog.links.exchange(link.id, session, day)).toBe(true)
      expect(await catalog.links.session(session.grantSha256, day + 4999)).toEqual({
        link: { ...link, viewsCount: 1 },
        expiresAtMs: day + 5000,
      })
      expect(await catalog.links.session(session.grantSha256, day + 5000)).toBeUndefined()
      expect(await catalog.links.session(someBytes(), day)).toBeUndefined()
    })

    test('exchange: not when unknown, expired, revoked or used up', async () => {
      const { catalog } = underTest()
      expect(await catalog.links.exchange(newId(), grant(), day)).toBe(false)
      const { link } = await linkTo({ maxViews: 1 })
      expect(await catalog.links.exchange(link.id, grant(), link.expiresAtMs)).toBe(false)
      expect(await catalog.links.exchange(link.id, grant(), day)).toBe(true)
      expect(await catalog.links.exchange(link.id, grant(), day)).toBe(false)
      const { link: revoked } = await linkTo()
      await catalog.links.revokeLink(revoked.id, day)
      expect(await catalog.links.exchange(revoked.id, grant(), day)).toBe(false)
      expect((await catalog.links.link(link.id))?.viewsCount).toBe(1)
      expect((await catalog.links.link(revoked.id))?.viewsCount).toBe(0)
    })

    test('of fifty exchanges at once no more than maxViews succeed, each with a session', async () => {
      const { catalog, another } = underTest()
      const other = await another()
      const { link } = await linkTo({ maxViews: 7 })
      const grants = Array.from({ length: 50 }, () => grant())
      const results = await Promise.all(
        grants.map((session, i) => (i % 2 === 0 ? catalog : other).links.exchange(link.id, session, day)),
      )
      expect(results.filter(Boolean)).toHaveLength(7)
      expect((await catalog.links.link(link.id))?.viewsCount).toBe(7)
      const live = await Promise.all(grants.map((session) => catalog.links.session(session.grantSha256, day)))
      expect(live.map((session) => session !== undefined)).toEqual(results)
    })

    test('a view that cannot have its session is not counted', async () => {
      const { catalog } = underTest()
      const { link } = await linkTo()
      const session = grant()
      await catalog.links.exchange(link.id, session, day)
      expect(await outcome(catalog.links.exchange(link.id, session, day))).toBe('E_CONFLICT')
      expect((await catalog.links.link(link.id))?.viewsCount).toBe(1)
    })

    test('revoking ends all sessions, also those that are just being made; the first time stays', async () => {
      const { catalog, another } = underTest()
      const other = await another()
      const { link, organisation } = await linkTo()
      const before = grant()
      await catalog.links.exchange(link.id, before, day)
      const racing = Array.from({ length: 20 }, () => grant())
      const [, ...opened] = await Promise.all([
        other.links.revokeLink(link.id, day + 1),
        ...racing.map((session) => catalog.links.exchange(link.id, session, day)),
      ])
      expect(opened).toHaveLength(20)
      for (const session of [before, ...racing]) {
        expect(await catalog.links.session(session.grantSha256, day + 1)).toBeUndefined()
        await catalog.links.prolongSession(session.grantSha256, day + 9000)
        expect(await catalog.links.session(session.grantSha256, day + 1)).toBeUndefined()
      }
      await catalog.links.revokeLink(link.id, day + 2)
      expect((await catalog.links.link(link.id))?.revokedAtMs).toBe(day + 1)
      await catalog.links.revokeLink(newId(), day)
      expect(await catalog.links.revokedLinks(organisation)).toEqual([link.id])
      expect(await catalog.links.revokedLinks(newId())).toEqual([])
    })

    test('a session slides, never back and never past its link', async () => {
      const { catalog } = underTest()
      const { link } = await linkTo({ expiresAtMs: day + 10_000 })
      const session = grant()
      await catalog.links.exchange(link.id, session, day)
      const ends = async (): Promise<number | undefined> =>
        (await catalog.links.session(session.grantSha256, day))?.expiresAtMs
      await catalog.links.prolongSession(session.grantSha256, day + 8000)
      expect(await ends()).toBe(day + 8000)
      await catalog.links.prolongSession(session.grantSha256, day + 6000)
      expect(await ends()).toBe(day + 8000)
      await catalog.links.prolongSession(session.grantSha256, day + 1e9)
      expect(await ends()).toBe(day + 10_000)
      const long = grant(day + 1e9)
      await catalog.links.exchange(link.id, long, day)
      expect((await catalog.links.session(long.grantSha256, day))?.expiresAtMs).toBe(day + 10_000)
      await catalog.links.prolongSession(someBytes(), day)
    })

    describe('a passcode', () => {
      const limit = { maxFailures: 5, lockMs: 1000, checkMs: 100 }

      test('opens the link only with the hash it was checked against', async () => {
        const { catalog } = underTest()
        const { link } = await linkTo({}, 'hash')
        expect((await catalog.links.link(link.id))?.hasPasscode).toBe(true)
        expect(await catalog.links.exchange(link.id, grant(), day)).toBe(false)
        expect(await catalog.links.exchange(link.id, grant(), day, 'other')).toBe(false)
        expect((await catalog.links.link(link.id))?.viewsCount).toBe(0)
        expect(await catalog.links.exchange(link.id, grant(), day, 'hash')).toBe(true)
        const { link: open } = await linkTo()
        expect(await catalog.links.exchange(open.id, grant(), day, 'hash')).toBe(false)
        expect(await catalog.links.beginPasscode(open.id, limit, day)).toBeUndefined()
      })

      test('is not asked of links that are unknown, expired, revoked or spent', async () => {
        const { catalog } = underTest()
        expect(await catalog.links.beginPasscode(newId(), limit, day)).toBeUndefined()
        const { link } = await linkTo({ maxViews: 1 }, 'hash')
        expect(await catalog.links.beginPasscode(link.id, limit, link.expiresAtMs)).toBeUndefined()
        await catalog.links.exchange(link.id, grant(), day, 'hash')
        expect(await catalog.links.beginPasscode(link.id, limit, day)).toBeUndefined()
        const { link: revoked } = await linkTo({}, 'hash')
        await catalog.links.revokeLink(revoked.id, day)
        expect(await catalog.links.beginPasscode(revoked.id, limit, day)).toBeUndefined()
      })

      test('is checked five times of fifty at once, by several processes, then not until the time has passed', async () => {
        const { catalog, another } = underTest()
        const other = await another()
        const { link } = await linkTo({}, 'hash')
        const attempts = await Promise.all(
          Array.from({ length: 50 }, (_, i) =>
            (i % 2 === 0 ? catalog : other).links.beginPasscode(link.id, limit, day),
          ),
        )
        expect(attempts.filter((attempt) => attempt?.kind === 'open')).toHaveLength(5)
        // nobody knows yet whether they are wrong; when nobody ever tells, they are
        expect(attempts.filter((attempt) => attempt?.kind === 'busy')).toHaveLength(45)
        expect(await other.links.beginPasscode(link.id, limit, day + 99)).toEqual({ kind: 'busy' })
        expect(await other.links.beginPasscode(link.id, limit, day + 100)).toMatchObject({ kind: 'locked' })
        expect(await other.links.beginPasscode(link.id, limit, day + 999)).toEqual({
          kind: 'locked',
          untilMs: day + 1000,
        })
        expect(await other.links.beginPasscode(link.id, limit, day + 1000)).toEqual({
          kind: 'open',
          passcodeHash: 'hash',
        })
      })

      test('that is right takes its own attempt back, and no other', async () => {
        const { catalog } = underTest()
        const { link } = await linkTo({}, 'hash')
        for (let i = 0; i < 20; i++) {
          expect((await catalog.links.beginPasscode(link.id, limit, day))?.kind).toBe('open')
          expect(await catalog.links.exchange(link.id, grant(), day, 'hash')).toBe(true)
        }
        for (let i = 0; i < 4; i++) {
          await catalog.links.beginPasscode(link.id, limit, day)
          await catalog.links.endPasscode(link.id, 'wrong')
        }
        await catalog.links.beginPasscode(link.id, limit, day)
        await catalog.links.exchange(link.id, grant(), day, 'hash')
        expect((await catalog.links.beginPasscode(link.id, limit, day))?.kind).toBe('open')
        expect((await catalog.links.beginPasscode(link.id, limit, day))?.kind).toBe('busy')
        await catalog.links.endPasscode(link.id, 'unchecked')
        expect((await catalog.links.beginPasscode(link.id, limit, day))?.kind).toBe('open')
        await catalog.links.endPasscode(link.id, 'wrong')
        expect((await catalog.links.beginPasscode(link.id, limit, day))?.kind).toBe('locked')
        // no give-back of what was found wrong, whatever is said too often
        await catalog.links.endPasscode(link.id, 'unchecked')
        await catalog.links.exchange(link.id, grant(), day, 'hash')
        expect((await catalog.links.beginPasscode(link.id, limit, day))?.kind).toBe('locked')
        // and what is said after all was forgotten belongs to nothing
        expect((await catalog.links.beginPasscode(link.id, limit, day + 1000))?.kind).toBe('open')
        for (let i = 0; i < 9; i++) await catalog.links.endPasscode(link.id, 'wrong')
        expect((await catalog.links.beginPasscode(link.id, limit, day + 1000))?.kind).toBe('open')
      })

      /** Twenty viewers at once, over two connections, as of two processes. */
      async function twenty(given: string): Promise<{ codes: string[]; checks: number }> {
        const { catalog, another } = underTest()
        const { organisation, recording } = await storing(catalog)
        let checks = 0
        const [one, two] = [catalog, await another()].map(({ links }) =>
          createLinks({
            catalog: links,
            keyring: { linkKey: () => Promise.resolve(new Uint8Array(32)) },
            passcodes: {
              hash: (passcode) => Promise.resolve(`hash of ${passcode}`),
              async verify(passcode, hash) {
                checks += 1
                await nodeClock.sleep(20)
                return hash === `hash of ${passcode}`
              },
            },
            clock: nodeClock,
            random: nodeRandom(),
          }),
        )
        const { token } = await one!.create({ organisation, recording }, { passcode: 'the right one' })
        const answers = await Promise.allSettled(
          Array.from({ length: 20 }, (_, i) => (i % 2 === 0 ? one! : two!).exchange(token, given)),
        )
        const codes = answers.map((answer) =>
          answer.status === 'fulfilled'
            ? answer.value === undefined
              ? 'refused'
              : 'open'
            : (answer.reason as { code: string }).code,
        )
        return { codes, checks }
      }

      test('that is right opens for all of twenty at once', async () => {
        expect(await twenty('the right one')).toEqual({ codes: Array(20).fill('open'), checks: 20 })
      })

      test('that is wrong twenty times at once is compared five times', async () => {
        const { codes, checks } = await twenty('a wrong one')
        expect(checks).toBe(5)
        expect(codes.filter((code) => code === 'E_LINK_PASSCODE')).toHaveLength(5)
        expect(codes.filter((code) => code === 'E_LINK_LOCKED')).toHaveLength(15)
      })
    })

    test('expired sessions can be dropped; live ones stay', async () => {
      const { catalog, query } = underTest()
      const { link } = await linkTo()
      const live = grant(day + 5001)
      await catalog.links.exchange(link.id, grant(day + 5000), day)
      await catalog.links.exchange(link.id, live, day)
      await catalog.links.dropExpiredSessions(day + 5000)
      expect(await query('select * from link_sessions')).toHaveLength(1)
      expect(await catalog.links.session(live.grantSha256, day + 5000)).toBeDefined()
    })
  })

  describe('tokens, uploads, audit', () => {
    test('a token is found by its hash; revoking is told by the row, the first time stays', async () => {
      const { catalog } = underTest()
      const organisation = await organisationIn(catalog)
      const token = {
        id: newId(),
        organisation,
        role: 'officer',
        name: 'Büro',
        tokenSha256: someBytes(),
        createdAtMs: day,
        revokedAtMs: null,
      } as const
      await catalog.tokens.addToken(token)
      expect(await catalog.tokens.tokenByHash(token.tokenSha256)).toEqual(token)
      expect(await catalog.tokens.tokenByHash(someBytes())).toBeUndefined()
      expect(await outcome(catalog.tokens.addToken({ ...token, id: newId() }))).toBe('E_CONFLICT')
      await catalog.tokens.revokeToken(token.id, day + 1)
      await catalog.tokens.revokeToken(token.id, day + 2)
      expect(await catalog.tokens.tokens(organisation)).toEqual([{ ...token, revokedAtMs: day + 1 }])
      expect(await catalog.tokens.tokens(newId())).toEqual([])
      const renewed = { ...token, tokenSha256: someBytes() }
      await catalog.tokens.renewToken(token.id, renewed.tokenSha256)
      expect(await catalog.tokens.token(token.id)).toEqual(renewed)
      expect(await catalog.tokens.tokenByHash(token.tokenSha256)).toBeUndefined()
      expect(await catalog.tokens.tokenByHash(renewed.tokenSha256)).toEqual(renewed)
    })

    test('uploads', async () => {
      const { catalog } = underTest()
      const upload: UploadRow = {
        id: newId(),
        organisation: newId(),
        owner: newId(),
        state: 'receiving',
        lengthBytes: null,
        offsetBytes: 0,
        metadata: { filename: 'größe.mp4', title: '' },
        recording: null,
        createdAtMs: day,
        updatedAtMs: day,
      }
      await catalog.uploads.addUpload(upload)
      expect(await catalog.uploads.upload(upload.id)).toEqual(upload)
      await catalog.uploads.updateUpload(upload.id, { offsetBytes: 2 ** 42, lengthBytes: 2 ** 43 }, day + 1)
      await catalog.uploads.updateUpload(upload.id, { state: 'complete', recording: upload.owner }, day + 2)
      const complete = {
        ...upload,
        state: 'complete',
        recording: upload.owner,
        offsetBytes: 2 ** 42,
        lengthBytes: 2 ** 43,
        updatedAtMs: day + 2,
      }
      expect(await catalog.uploads.uploads('complete', day + 3)).toEqual([complete])
      expect(await catalog.uploads.uploads('complete', day + 2)).toEqual([])
      expect(await catalog.uploads.uploads('receiving', day + 3)).toEqual([])
      // Once it is stored, the hash of the content is in the sealed manifest, and nowhere in clear.
      const hashed = { ...upload, id: newId(), metadata: { filename: 'a', sha256: 'ab'.repeat(32) } }
      await catalog.uploads.addUpload(hashed)
      await catalog.uploads.updateUpload(hashed.id, { state: 'complete' }, day + 3)
      expect((await catalog.uploads.upload(hashed.id))?.metadata).toEqual(hashed.metadata)
      await catalog.uploads.updateUpload(hashed.id, { state: 'consumed' }, day + 4)
      await catalog.uploads.updateUpload(hashed.id, { state: 'consumed' }, day + 4)
      expect((await catalog.uploads.upload(hashed.id))?.metadata).toEqual({ filename: 'a' })
      await catalog.uploads.updateUpload(hashed.id, { state: 'complete' }, day + 5)
      expect((await catalog.uploads.upload(hashed.id))?.state).toBe('consumed')
      await catalog.uploads.removeUpload(upload.id)
      await catalog.uploads.removeUpload(upload.id)
      expect(await catalog.uploads.upload(upload.id)).toBeUndefined()
      expect(await outcome(catalog.uploads.updateUpload(upload.id, {}, day))).toBe('E_INPUT')
    })

    test('the audit record: newest first, of one organisation', async () => {
      const { catalog } = underTest()
      const [organisation, subject] = [newId(), newId()]
      for (const kind of ['a', 'b', 'c']) {
        await catalog.audit.addAudit({
          atMs: day,
          organisation,
          kind,
          subject,
          fields: { key: 'dek', ok: true, n: 1.5 },
        })
      }
      await catalog.audit.addAudit({ atMs: day, organisation: newId(), kind: 'x', subject: null, fields: {} })
      const entries = await catalog.audit.audit(organisation, 2)
      expect(entries).toEqual(
        ['c', 'b'].map((kind) => ({ atMs: day, kind, subject, fields: { key: 'dek', ok: true, n: 1.5 } })),
      )
    })
  })
}
