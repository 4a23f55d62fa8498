import { execFile } from 'node:child_process'
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
  copyFileSync,
} from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { dirname, join, relative, resolve } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'

// Breaks every rule of the rooms in a house of its own, and sees that the linters name each break, and nothing else.

const root = resolve(import.meta.dirname, '../..')

/** docs/ARCHITECTURE.md, "Rooms": written down a second time, so that a slip in the lint configuration shows. */
const mayImport: Record<string, readonly string[]> = {
  domain: [],
  crypto: ['domain'],
  format: ['domain'],
  ports: ['domain'],
  access: ['domain', 'ports'],
  ledger: ['domain', 'ports', 'crypto', 'format'],
  sources: ['domain', 'ports'],
  adapters: ['domain', 'ports', 'crypto'],
  pipeline: ['domain', 'crypto', 'format', 'ports'],
  retrieve: ['domain', 'crypto', 'format', 'ports'],
  upkeep: ['domain', 'crypto', 'format', 'ports', 'pipeline', 'retrieve', 'ledger'],
  http: ['domain', 'ports', 'access', 'retrieve', 'ledger'],
  main: [
    ...['domain', 'crypto', 'format', 'ports', 'access', 'ledger', 'sources', 'adapters'],
    ...['pipeline', 'retrieve', 'upkeep', 'http'],
  ],
  console: ['domain', 'crypto', 'format', 'retrieve'],
}
const rooms = Object.keys(mayImport)

/** `from → to` by rule. A `to` is the end of a path, as linters write built-ins and packages in ways of their own. */
type Break = readonly [rule: string, from: string, to: string]

const house = new Map<string, string>()
const breaks: Break[] = []

function plant(path: string, code: string, ...broken: readonly (readonly [rule: string, to: string])[]): void {
  house.set(path, code)
  for (const [rule, to] of broken) breaks.push([rule, path, to])
}

for (const room of rooms) plant(`src/${room}/thing.ts`, 'export const thing = 1\nexport type Thing = 1\n')
for (const from of rooms) {
  for (const to of rooms.filter((room) => room !== from)) {
    // every second one only a type: those count too
    const what = (from.length + to.length) % 2 === 0 ? 'type { Thing }' : '{ thing }'
    const code = `import ${what} from '../${to}/thing.ts'\nexport type T = ${what.startsWith('type') ? 'Thing' : 'typeof thing'}\n`
    const broken = mayImport[from]?.includes(to) === true ? [] : [[`room-${from}`, `src/${to}/thing.ts`] as const]
    plant(`src/${from}/to-${to}.ts`, code, ...broken)
  }
  plant(`src/${from}/to-script.ts`, "import '../../scripts/tool.ts'\n", [`room-${from}`, 'scripts/tool.ts'])
}
plant('scripts/tool.ts', "import '../src/main/thing.ts'\n")
plant('src/crypto/primitives.ts', 'export interface Primitives { one: 1 }\n')
plant('src/adapters/primitives-types.ts', "export type { Primitives } from '../crypto/primitives.ts'\n")

plant('workers/thin.ts', "import '../src/main/thing.ts'\nimport '../src/domain/thing.ts'\n")
plant('workers/thick.ts', "import '../src/pipeline/thing.ts'\n", ['room-workers', 'src/pipeline/thing.ts'])

plant('src/stray/leaf.ts', 'export const leaf = 1\n')
plant('src/stray/importer.ts', "import '../domain/thing.ts'\n", ['unknown-room', 'src/domain/thing.ts'])
plant('src/stray/alone.ts', 'export const alone = 1\n', ['unknown-room-alone', 'src/stray/alone.ts'])
plant('src/loose.ts', 'export const loose = 1\n', ['unknown-room-alone', 'src/loose.ts'])
plant('test/stray.test.ts', "import '../src/stray/leaf.ts'\n", ['unknown-room-imported', 'src/stray/leaf.ts'])

plant('src/domain/cycle-a.ts', "import type { B } from './cycle-b.ts'\nexport type A = B | 1\n", [
  'no-cycles',
  'src/domain/cycle-b.ts',
])
// a cycle is named once, at the file where the linter met it
plant('src/domain/cycle-b.ts', "import type { A } from './cycle-a.ts'\nexport type B = A | 1\n")

// Effects: from each of the rooms that have none, and from the two that may.
const effects = {
  packages: ['@aws-sdk/client-s3', '@smithy/node-http-handler', 'bullmq', 'ioredis', 'pg', 'kysely', 'fluent-ffmpeg'],
  builtins: ['fs', 'fs/promises', 'child_process', 'net', 'http', 'https', 'dns', 'os', 'worker_threads', 'sqlite'],
}
const browserSafe = ['domain', 'crypto', 'format', 'ports', 'retrieve', 'console']
for (const room of rooms) {
  const free = room === 'adapters' || room === 'main'
  for (const name of effects.packages) {
    const path = `src/${room}/effect-${name.replaceAll(/\W/g, '-')}.ts`
    plant(path, `import '${name}'\n`, ...(free ? [] : [['effects-at-the-rim', name] as const]))
  }
  for (const name of effects.builtins) {
    const path = `src/${room}/effect-${name.replaceAll(/\W/g, '-')}.ts`
    const broken: [string, string][] = free ? [] : [['effects-at-the-rim', name]]
    if (browserSafe.includes(room)) broken.push(['browser-safe', name])
    plant(path, `import 'node:${name}'\n`, ...broken)
  }
  const web = free || room === 'http' ? [] : [['web-server-in-http', 'express'] as const]
  plant(`src/${room}/web.ts`, "import 'express'\n", ...web)
  const hashing = browserSafe.includes(room) ? [['browser-safe', 'crypto'] as const] : []
  plant(
    `src/${room}/node-hash.ts`,
    "import { createHash } from 'node:crypto'\nexport const h = createHash\n",
    ...hashing,
  )
}
plant('workers/effect.ts', "import 'node:fs'\n", ['effects-at-the-rim', 'fs'])

// What blind upkeep must not reach, directly and through a neighbour.
for (const secret of ['ports/keyring', 'crypto/floe', 'crypto/segment-codec', 'crypto/hpke', 'crypto/kem']) {
  plant(`src/${secret}.ts`, 'export interface Secret { readonly bytes: 1 }\n')
  const name = secret.replace('/', '-')
  plant(`src/pipeline/through-${name}.ts`, `export type { Secret } from '../${secret}.ts'\n`)
  plant(`src/upkeep/blind/direct-${name}.ts`, `export type { Secret } from '../../${secret}.ts'\n`, [
    'blind-holds-no-keys',
    `src/${secret}.ts`,
  ])
  plant(`src/upkeep/blind/via-${name}.ts`, `export type { Secret } from '../../pipeline/through-${name}.ts'\n`, [
    'blind-holds-no-keys',
    `src/${secret}.ts`,
  ])
}
plant('src/upkeep/keyed/rewrap.ts', "export type { Secret } from '../../ports/keyring.ts'\nexport const rewrap = 1\n")
plant(
  'src/upkeep/blind/asks-keyed.ts',
  "import '../keyed/rewrap.ts'\n",
  ['blind-holds-no-keys', 'src/upkeep/keyed/rewrap.ts'],
  ['blind-holds-no-keys', 'src/ports/keyring.ts'],
)
plant('src/upkeep/blind/scrub.ts', "import '../../crypto/thing.ts'\nimport '../../ports/thing.ts'\n")

plant(
  'scripts/standalone-reader/reader.ts',
  "import 'node:fs'\nimport '@noble/hashes/sha2.js'\nimport '../../src/format/thing.ts'\nimport 'cborg'\n",
  ['reader-stands-alone', 'src/format/thing.ts'],
  ['reader-stands-alone', 'cborg'],
)
plant('src/main/development.ts', "import 'fast-check'\n", ['no-development-packages', 'fast-check'])
plant('src/main/nowhere.ts', "import './nothing-here.ts'\n", ['resolves', './nothing-here.ts'])

/** Files that break a rule of syntax, each with the rule and words of its message. `null`: this one is right. */
const lines: (readonly [path: string, code: string, broken: readonly [rule: string, words: RegExp] | null])[] = [
  ['src/pipeline/lint-now.ts', 'export const a = Date.now()', ['no-restricted-properties', /clock/i]],
  ['src/http/lint-new-date.ts', 'export const a = new Date()', ['no-restricted-syntax', /clock/i]],
  ['src/domain/lint-parse-date.ts', 'export const a = new Date(0)', null],
  ['src/main/lint-performance.ts', 'export const a = performance.now()', ['no-restricted-properties', /clock/i]],
  ['src/main/lint-hrtime.ts', 'export const a = process.hrtime()', ['no-restricted-properties', /clock/i]],
  ['src/retrieve/lint-timer.ts', 'setTimeout(() => undefined, 1)', ['no-restricted-globals', /clock/i]],
  ['src/adapters/lint-timer.ts', 'setTimeout(() => undefined, 1)', null],
  ['src/access/lint-random.ts', 'export const a = Math.random()', ['no-restricted-properties', /randomness/i]],
  [
    'src/adapters/lint-random-bytes.ts',
    "import { randomBytes } from 'node:crypto'\nexport const a = randomBytes(1)",
    ['no-restricted-imports', /randomness/i],
  ],
  [
    'src/main/lint-namespace.ts',
    "import * as all from 'node:crypto'\nexport const a = all",
    ['no-restricted-syntax', /by name/],
  ],
  [
    'src/console/lint-values.ts',
    'export const a = crypto.getRandomValues(new Uint8Array(1))',
    ['no-restricted-properties', /randomness/i],
  ],
  [
    'src/console/lint-global-values.ts',
    'export const a = globalThis.crypto.randomUUID()',
    ['no-restricted-syntax', /randomness/i],
  ],
  [
    'src/crypto/lint-noble.ts',
    "import { randomBytes } from '@noble/hashes/utils.js'\nexport const a = randomBytes(1)",
    ['no-restricted-syntax', /randomness/i],
  ],
  [
    'src/crypto/lint-keygen.ts',
    "import { ml_kem768 } from '@noble/post-quantum/ml-kem.js'\nexport const a = ml_kem768.keygen()",
    ['no-restricted-syntax', /seed/],
  ],
  [
    'src/adapters/node-system.ts',
    "import { randomBytes } from 'node:crypto'\nexport const a = [Date.now(), new Date(), Math.random(), randomBytes(1)]",
    null,
  ],
  ['src/adapters/lint-env.ts', 'export const a = process.env', ['no-restricted-properties', /config/]],
  ['workers/lint-env.ts', 'export const { env } = process', ['no-restricted-properties', /config/]],
  [
    'src/main/lint-env-import.ts',
    "import { env } from 'node:process'\nexport const a = env",
    ['no-restricted-imports', /config/],
  ],
  ['src/main/config.ts', 'export const a = process.env', null],
  ['src/upkeep/lint-console.ts', "console.log('a')", ['no-console', /console/]],
  ['src/main/lint-console.ts', "console.log('a')", null],
  [
    'src/sources/lint-fetch.ts',
    "export const a = () => fetch('https://x.example')",
    ['no-restricted-globals', /ports/],
  ],
  ['src/format/lint-buffer.ts', 'export const a = Buffer.alloc(1)', ['no-restricted-globals', /browser/]],
  ['src/domain/lint-any.ts', 'export const a = (b: any) => b', ['typescript(no-explicit-any)', /any/]],
  ['src/domain/lint-default.ts', 'export default 1', ['no-restricted-syntax', /named/i]],
  [
    'src/domain/lint-floating.ts',
    'export const a = () => { Promise.resolve() }',
    ['typescript(no-floating-promises)', /promise/i],
  ],
  [
    'src/domain/lint-misused.ts',
    'export const a = (b: Promise<number>) => (b ? 1 : 2)',
    ['typescript(no-misused-promises)', /promise/i],
  ],
  [
    'src/domain/lint-await.ts',
    'export const a = async (b: number) => { await b }',
    ['typescript(await-thenable)', /await/i],
  ],
  [
    'src/domain/lint-switch.ts',
    "export function a(b: 'c' | 'd') {\n  switch (b) {\n    case 'c':\n      return 1\n  }\n  return 2\n}",
    ['typescript(switch-exhaustiveness-check)', /"d"|exhaustive/],
  ],
  [
    'src/domain/lint-type-import.ts',
    "import { Thing } from './thing.ts'\nexport type A = Thing",
    ['typescript(consistent-type-imports)', /type/],
  ],
  ['src/domain/lint-unused.ts', 'const a = 1\nexport const b = 2', ['eslint(no-unused-vars)', /never used/]],
]

interface Violation {
  readonly from: string
  readonly to: string
  readonly rule: { readonly name: string }
}

interface LintFile {
  readonly filePath: string
  readonly messages: readonly { readonly ruleId: string | null; readonly message: string }[]
}

interface Diagnostic {
  readonly filename: string
  readonly code: string
  readonly message: string
}

interface Finding {
  readonly path: string
  readonly ruleId: string | null
  readonly message: string
}

let folder = ''
let violations: readonly Violation[] = []
let found: readonly Finding[] = []

/** Standard output of a linter, which exits with a number of its own when it finds something. */
function output(script: string, args: readonly string[]): Promise<string> {
  const program = join(root, 'node_modules', script)
  return new Promise((done, fail) => {
    execFile(process.execPath, [program, ...args], { cwd: folder, maxBuffer: 64 << 20 }, (_error, stdout, stderr) => {
      if (stdout.startsWith('{') || stdout.startsWith('[')) done(stdout)
      else fail(new Error(`${script} gave no report: ${stderr || stdout}`))
    })
  })
}

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'mosaik-rooms-'))
  symlinkSync(join(root, 'node_modules'), join(folder, 'node_modules'))
  for (const name of ['package.json', 'tsconfig.json', '.oxlintrc.json'])
    copyFileSync(join(root, name), join(folder, name))
  for (const [path, code] of [...house, ...lines]) {
    mkdirSync(join(folder, dirname(path)), { recursive: true })
    writeFileSync(join(folder, path), `${code}\n`)
  }
  const paths = lines.map(([path]) => path)
  const [cruise, homes, language] = await Promise.all([
    output('dependency-cruiser/bin/dependency-cruise.mjs', [
      ...['--config', join(root, '.dependency-cruiser.cjs'), '--output-type', 'json'],
      ...['src', 'workers', 'scripts', 'test'],
    ]),
    output('eslint/bin/eslint.js', [...['--config', join(root, 'eslint.config.js'), '--format', 'json', ...paths]]),
    output('oxlint/bin/oxlint', ['--config', '.oxlintrc.json', '--format', 'json', ...paths]),
  ])
  violations = (JSON.parse(cruise) as { summary: { violations: Violation[] } }).summary.violations
  found = [
    ...(JSON.parse(homes) as LintFile[]).flatMap(({ filePath, messages }) =>
      messages.map(({ ruleId, message }) => ({ path: relative(realpathSync(folder), filePath), ruleId, message })),
    ),
    ...(JSON.parse(language) as { diagnostics: Diagnostic[] }).diagnostics.map(({ filename, code, message }) => ({
      path: filename,
      ruleId: code,
      message,
    })),
  ]
}, 60_000)

afterAll(() => {
  rmSync(folder, { recursive: true, force: true })
})

const planted = (violation: Violation, [rule, from, to]: Break): boolean =>
  violation.rule.name === rule &&
  violation.from === from &&
  (violation.to === to || violation.to === `node:${to}` || violation.to.includes(`node_modules/${to}/`))

test('every planted import is named by its rule', () => {
  const unnoticed = breaks.filter((broken) => !violations.some((violation) => planted(violation, broken)))
  expect(unnoticed).toEqual([])
})

test('no right import is named', () => {
  const innocent = violations.filter((violation) => !breaks.some((broken) => planted(violation, broken)))
  expect(innocent.map(({ rule, from, to }) => `${rule.name}: ${from} → ${to}`)).toEqual([])
})

test('every import rule there is has bitten', () => {
  const { forbidden } = createRequire(import.meta.url)('../../.dependency-cruiser.cjs') as {
    forbidden: { name: string }[]
  }
  const bitten = new Set(breaks.map(([rule]) => rule))
  expect(forbidden.map(({ name }) => name).filter((name) => !bitten.has(name))).toEqual([])
})

test.each(lines)('%s', (path, _code, broken) => {
  const here = found.filter((finding) => finding.path === path)
  if (broken === null) expect(here).toEqual([])
  else expect(here).toContainEqual({ path, ruleId: broken[0], message: expect.stringMatching(broken[1]) as string })
})

test('every folder of src has a row', () => {
  const entries = readdirSync(join(root, 'src'), { withFileTypes: true })
  expect(
    entries.filter((entry) => !entry.isDirectory() || !rooms.includes(entry.name)).map(({ name }) => name),
  ).toEqual([])
})
