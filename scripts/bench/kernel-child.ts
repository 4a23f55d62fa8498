import { createInterface } from 'node:readline'
import { loadKernel } from '../../src/adapters/segment-engine/codec-tools.ts'
import { planMultiplication } from '../../src/crypto/kernel/kernel.ts'
import { dataRowNumbers, decodeRows, encodeRows, systematicShares } from '../../src/crypto/matrix.ts'

// The counterpart of c/kernel.c: the same lines in, the same figure out.
const kernel = loadKernel()
for await (const line of createInterface({ input: process.stdin })) {
  const [mode, ...numbers] = line.split(' ')
  const [k, n, t, rowBytes, ms] = numbers.map(Number) as [number, number, number, number, number]
  const shares = Array.from({ length: n }, (_, i) => i)
  const matrix =
    mode === 'split'
      ? encodeRows(k, t, shares.slice(systematicShares(k, t)))
      : decodeRows(k, t, shares.slice(n - k), dataRowNumbers(k, t))
  const plan = planMultiplication(matrix)
  for (let i = 0; i < k * rowBytes; i++) kernel.input[i] = (i * 167) >> 3
  for (let i = 0; i < 20; i++) kernel.multiply(plan, rowBytes)
  let bytes = 0
  const began = process.cpuUsage()
  let spent = 0
  do {
    for (let i = 0; i < 10; i++) kernel.multiply(plan, rowBytes)
    bytes += 10 * rowBytes * (k - t)
    const { user, system } = process.cpuUsage(began)
    spent = user + system
  } while (spent < ms * 1000)
  console.log((bytes / spent / 1000).toFixed(4))
}
