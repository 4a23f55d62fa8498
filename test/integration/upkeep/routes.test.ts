import { createHash, randomBytes } from 'node:crypto'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { MemoryRateCounter } from '../../../src/adapters/memory-rate-counter.ts'
import { createApi } from '../../../src/http/api/api.ts'
import { createDoctor } from '../../../src/main/upkeep-doctor.ts'
import { shareSigner } from '../../../src/main/share-signer.ts'
import { repair } from '../../../src/upkeep/blind/repair.ts'
import { survey } from '../../../src/upkeep/blind/survey.ts'
import { newId, serve } from '../../unit/http-api/api-stage.ts'
import { makeStage, never, sha256, type Stage } from '../../support/upkeep-stage.ts'

let stage: Stage
let server: { url: string; close(): Promise<void> }
beforeEach(async () => {
  stage = await makeStage({ nodesCount: 6 })
  const { catalog, reader, operations: nodes, clock, random, log } = stage
  const health = createDoctor({
    ...stage,
    nodes,
    confinement: 'bubblewrap',
    kernel: 'relaxed',
    isReadOnly: () => false,
    scrubPeriodMs: 30 * 24 * 3_600_000,
  })
  const api = createApi({
    ...{ catalog, reader, nodes, health, clock, random, log, publicUrl: 'https://vault.example' },
    ...{
      links: undefined as never,
      access: undefined as never,
      rates: new MemoryRateCounter(clock),
      announce: () => undefined,
      linksChanged: () => undefined,
    },
  })
  server = await serve((app) => void app.use('/api/v1', api))
})
afterEach(async () => {
  await server.close()
  await stage.close()
})

async function as(
  role: 'operator' | 'host',
): Promise<(method: string, path: string) => Promise<{ status: number; body: unknown }>> {
  const token = `mosaik-${randomBytes(32).toString('hex')}`
  await stage.catalog.tokens.addToken({
    ...{ id: newId(), organisation: stage.organisation, role, name: role, createdAtMs: 1, revokedAtMs: null },
    tokenSha256: new Uint8Array(createHash('sha256').update(token).digest()),
  })
  return async (method, path) => {
    const answer = await fetch(`${server.url}/api/v1${path}`, { method, headers: { authorization: `Bearer ${token}` } })
    return { status: answer.status, body: await answer.json() }
  }
}

describe('the operator API of upkeep', () => {
  it('shows health to operators and to nobody else', async () => {
    const [operator, host] = [await as('operator'), await as('host')]
    const { status, body } = await operator('GET', '/nodes/health')
    expect(status).toBe(200)
    expect(body).toMatchObject({ backlog: [], repairEtaMs: null, recordingsCounted: 0 })
    expect((await host('GET', '/nodes/health')).status).toBe(403)
    expect((await host('POST', `/nodes/${stage.nodes[0]!.id}/drain`)).status).toBe(403)
  })

  it('drains a node, pauses, goes on, and tells how far it is; the recording plays all the time', async () => {
    const operator = await as('operator')
    const content = randomBytes(2000)
    const recording = await stage.store(content)
    const [row] = await stage.fragmentsOf(recording)
    const path = `/nodes/${row!.node}/drain`
    const work = async (): Promise<number> => {
      await survey(stage, never)
      const ports = { ...stage, signer: shareSigner(stage.keyring) }
      return (await repair(ports, { bytesPerSecond: Infinity }, never))!.shares
    }
    expect(await operator('POST', path)).toEqual({ status: 202, body: { node: row!.node, state: 'draining' } })
    expect(await operator('DELETE', path)).toMatchObject({ status: 200, body: { state: 'read-only' } })
    expect(await operator('DELETE', path)).toMatchObject({ status: 409 })
    expect(await work()).toBe(0)
    await operator('POST', path)
    await survey(stage, never)
    expect((await operator('GET', path)).body).toMatchObject({ state: 'draining', sharesWaiting: 2, objectsLeft: 3 })
    expect(await work()).toBe(2)
    expect((await operator('GET', path)).body).toMatchObject({ sharesWaiting: 0, etaMs: null })
    const holders = [...(await stage.fragmentsOf(recording)), ...(await stage.sharesOf(recording))].map(
      ({ node }) => node,
    )
    expect(holders).not.toContain(row!.node)
    expect(await stage.sha256Of(recording)).toBe(sha256(content))
    expect((await operator('POST', `/nodes/${newId()}/drain`)).status).toBe(404)
  })
})
