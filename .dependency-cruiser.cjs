// Who may import whom: a row a room, as in docs/ARCHITECTURE.md. A folder without a row is an error.
// Imports of types count too, so that nothing hides behind `import type`.
// test/unit/rooms.test.ts breaks every rule once and sees that it bites.

const rooms = {
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
    'domain',
    'crypto',
    'format',
    'ports',
    'access',
    'ledger',
    'sources',
    'adapters',
    'pipeline',
    'retrieve',
    'upkeep',
    'http',
  ],
  console: ['domain', 'crypto', 'format', 'retrieve'],
}

const one = (names) => `(${names.join('|')})`
const roomPath = `^src/${one(Object.keys(rooms))}/`
/** The path pattern of what a row names: a room, or one file of it. */
const named = (name) => (name.endsWith('.ts') ? `${name.replaceAll('.', '[.]')}$` : `${name}/`)

/** npm packages that reach outside, and the Node built-ins that do. */
const packages = (...names) => `(^|node_modules/)${one(names)}(/|$)`
const builtins = (...names) => `^(node:)?${one(names)}(/|$)`

const EFFECT_PACKAGES = packages(
  '@aws-sdk',
  '@smithy',
  'bullmq',
  'ioredis',
  'pg',
  'kysely',
  'fluent-ffmpeg',
  'pino',
  'openid-client',
  'prom-client',
)
const EFFECT_BUILTINS = builtins(
  'fs',
  'child_process',
  'net',
  'tls',
  'dgram',
  'dns',
  'http',
  'https',
  'http2',
  'os',
  'worker_threads',
  'cluster',
  'sqlite',
  'process',
  'timers',
  'perf_hooks',
  'readline',
  'repl',
  'inspector',
  'vm',
  'v8',
  'module',
)
const WEB_PACKAGES = packages('express', 'helmet', '@tus')
const EFFECT_ROOMS = ['adapters', 'main']
/** What also runs in a browser, or is made only of promises: no Node at all. */
const BROWSER_SAFE = ['domain', 'crypto', 'format', 'ports', 'retrieve', 'console']

module.exports = {
  forbidden: [
    {
      name: 'unknown-room',
      comment: 'every folder of src has a row in the table',
      severity: 'error',
      from: { path: '^src/', pathNot: roomPath },
      to: {},
    },
    {
      name: 'unknown-room-imported',
      comment: 'every folder of src has a row in the table',
      severity: 'error',
      from: {},
      to: { path: '^src/', pathNot: roomPath },
    },
    {
      name: 'unknown-room-alone',
      comment: 'every folder of src has a row in the table',
      severity: 'error',
      from: { orphan: true, path: '^src/', pathNot: roomPath },
      to: {},
    },
    {
      name: 'no-cycles',
      comment: 'data flows one way',
      severity: 'error',
      from: {},
      to: { circular: true },
    },
    ...Object.entries(rooms).map(([room, may]) => ({
      name: `room-${room}`,
      comment: `src/${room} may import: ${may.join(', ') || 'nothing else'}`,
      severity: 'error',
      from: { path: `^src/${room}/` },
      to: { path: '^(src|workers|scripts|test)/', pathNot: `^src/${one([room, ...may].map(named))}` },
    })),
    {
      name: 'room-workers',
      comment: 'a worker is a thin entry: main and domain only',
      severity: 'error',
      from: { path: '^workers/' },
      to: { path: '^(src|scripts|test)/', pathNot: '^src/(main|domain)/' },
    },
    {
      name: 'effects-at-the-rim',
      comment: 'stores, Redis, SQL, processes, files and the network are reached through src/ports',
      severity: 'error',
      from: { path: '^(src|workers)/', pathNot: `^src/${one(EFFECT_ROOMS)}/` },
      to: { path: [EFFECT_PACKAGES, EFFECT_BUILTINS] },
    },
    {
      name: 'web-server-in-http',
      comment: 'Express and its kind belong to src/http; adapters and main may use them',
      severity: 'error',
      from: { path: '^(src|workers)/', pathNot: `^src/${one(['http', ...EFFECT_ROOMS])}/` },
      to: { path: WEB_PACKAGES },
    },
    {
      name: 'browser-safe',
      comment: 'this room also runs in a browser (or is only types): no Node built-ins',
      severity: 'error',
      from: { path: `^src/${one(BROWSER_SAFE)}/` },
      to: { dependencyTypes: ['core'] },
    },
    {
      name: 'blind-holds-no-keys',
      comment: 'integrity is checked and repaired by a process that cannot decrypt, not even through others',
      severity: 'error',
      from: { path: '^src/upkeep/blind/' },
      to: {
        path: '^src/(ports/[^/]*keyring|adapters/[^/]*keyring|upkeep/keyed/|crypto/(floe|segment-codec|hpke|kem)[.-])',
        reachable: true,
      },
    },
    {
      name: 'reader-stands-alone',
      comment: 'the standalone reader is a second implementation: noble packages and Node only',
      severity: 'error',
      from: { path: '^scripts/standalone-reader' },
      to: { dependencyTypesNot: ['core'], pathNot: ['node_modules/@noble/', '^scripts/standalone-reader'] },
    },
    {
      name: 'no-development-packages',
      comment: 'what runs in the vault is a dependency, not a devDependency',
      severity: 'error',
      from: { path: '^(src|workers)/' },
      to: { dependencyTypes: ['npm-dev', 'npm-no-pkg', 'npm-unknown'], pathNot: 'node_modules/@types/' },
    },
    {
      name: 'resolves',
      comment: 'an import that leads nowhere is not checked by any other rule',
      severity: 'error',
      from: {},
      to: { couldNotResolve: true },
    },
  ],
  options: {
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.json' },
    doNotFollow: { path: 'node_modules' },
    exclude: { path: '^src/crypto/kernel/assembly/' },
    enhancedResolveOptions: {
      exportsFields: ['exports'],
      conditionNames: ['import', 'node', 'default', 'types'],
      extensions: ['.ts', '.js'],
    },
  },
}
