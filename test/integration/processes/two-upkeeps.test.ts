import { afterEach, expect, test } from 'vitest'
import { commitState, type CommitStatePorts } from '../../../src/pipeline/commit-state.ts'
import { collect } from '../../../src/upkeep/blind/collect.ts'
import { makeTestVault, type TestVault } from '../../support/test-vault.ts'

// Upkeep in two processes at once: which should not be, and does no harm.

let vault: TestVault
afterEach(() => vault.close())

const signal = new AbortController().signal

test('a state that is slow to be placed leaves a later one alone', async () => {
  vault = await makeTestVault()
  const ports: CommitStatePorts = { ...vault, location: ({ name }) => name }
  const gate = Promise.withResolvers<undefined>()
  const reached = Promise.withResolvers<undefined>()
  const slowPool = Object.create(vault.pool) as typeof vault.pool
  slowPool.nodes = () => vault.pool.nodes()
  slowPool.isHealthy = (node) => vault.pool.isHealthy(node)
  slowPool.observe = () => undefined
  slowPool.store = async (node) => {
    reached.resolve(undefined)
    await gate.promise
    return await vault.pool.store(node)
  }
  const first = commitState({ ...ports, pool: slowPool }, vault.organisation, signal)
  await reached.promise
  const second = await commitState(ports, vault.organisation, signal)
  gate.resolve(undefined)
  const { generation } = await first
  expect(second.generation).toBe(generation + 1)
  const states = await vault.layout.organisationObjects(vault.organisation, 'state')
  const stored = states.filter(({ state }) => state === 'stored')
  const latest = stored.filter(({ role }) => role.kind === 'state' && role.generation === second.generation)
  expect(latest).toHaveLength(5)
})

test('of two that begin together one writes and the other says so', async () => {
  vault = await makeTestVault()
  const ports: CommitStatePorts = { ...vault, location: ({ name }) => name }
  const both = await Promise.allSettled([1, 2].map(() => commitState(ports, vault.organisation, signal)))
  expect(both.filter(({ status }) => status === 'fulfilled').length).toBeGreaterThanOrEqual(1)
  for (const one of both) if (one.status === 'rejected') expect(one.reason).toMatchObject({ code: 'E_CONFLICT' })
})

test('two collectors on the same objects: each is deleted, none fails', async () => {
  vault = await makeTestVault()
  const ports: CommitStatePorts = { ...vault, location: ({ name }) => name }
  for (let i = 0; i < 3; i++) await commitState(ports, vault.organisation, signal)
  const old = (await vault.layout.collectable(Number.MAX_SAFE_INTEGER, 100)).length
  expect(old).toBe(10)
  const results = await Promise.all([collect(vault, signal, -1000), collect(vault, signal, -1000)])
  expect(results.map(({ left }) => left)).toEqual([0, 0])
  expect(await vault.layout.collectable(Number.MAX_SAFE_INTEGER, 100)).toEqual([])
  expect(await vault.layout.organisationObjects(vault.organisation, 'state')).toHaveLength(5)
})
