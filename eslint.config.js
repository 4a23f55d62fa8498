// House rules of syntax: what has one home. Rules that need types, and those of the language, are .oxlintrc.json; who may
// import whom is .dependency-cruiser.cjs.
// test/unit/rooms.test.ts breaks the rules of rooms once each and sees that they bite.
import { defineConfig, globalIgnores } from 'eslint/config'
import parser from '@typescript-eslint/parser'

const SYSTEM_HOME = 'src/adapters/node-system.ts'
const ENV_HOME = 'src/main/config.ts'
/** There is no adapter in a browser. */
const PAGE_CLOCK_HOME = 'src/console/watch/page.ts'
const TAKE_CLOCK = 'The clock has one home (adapters/node-system.ts): take Clock from ports/system.'
const TAKE_RANDOM = 'Randomness has one home (adapters/node-system.ts): take Random from ports/system.'
const TAKE_CONFIG = 'The environment is read once, in main/config.ts: take what you need as a parameter.'

const drawsOfNodeCrypto = [
  'randomBytes',
  'randomFill',
  'randomFillSync',
  'randomInt',
  'randomUUID',
  'getRandomValues',
  'webcrypto',
  'generateKey',
  'generateKeySync',
  'generateKeyPair',
  'generateKeyPairSync',
  'generatePrime',
  'generatePrimeSync',
]

/** The rules that clock, randomness and environment share, with those left out whose home a file is. */
function homes({ clock = true, random = true, env = true }) {
  const paths = []
  const properties = []
  const syntax = [{ selector: 'ExportDefaultDeclaration', message: 'Named exports only.' }]
  if (clock) {
    properties.push(
      { object: 'Date', property: 'now', message: TAKE_CLOCK },
      { object: 'performance', property: 'now', message: TAKE_CLOCK },
      { object: 'performance', property: 'timeOrigin', message: TAKE_CLOCK },
      { object: 'process', property: 'hrtime', message: TAKE_CLOCK },
    )
    paths.push({ name: 'node:perf_hooks', message: TAKE_CLOCK })
    syntax.push(
      { selector: "NewExpression[callee.name='Date'][arguments.length=0]", message: TAKE_CLOCK },
      { selector: "CallExpression[callee.name='Date']", message: TAKE_CLOCK },
    )
  }
  if (random) {
    properties.push(
      { object: 'Math', property: 'random', message: TAKE_RANDOM },
      ...drawsOfNodeCrypto.map((property) => ({ object: 'crypto', property, message: TAKE_RANDOM })),
    )
    paths.push({ name: 'node:crypto', importNames: drawsOfNodeCrypto, message: TAKE_RANDOM })
    paths.push({ name: 'crypto', message: "Say 'node:crypto'." })
    syntax.push(
      { selector: "ImportSpecifier[imported.name='randomBytes']", message: TAKE_RANDOM },
      { selector: "ImportSpecifier[imported.name='managedNonce']", message: TAKE_RANDOM },
      {
        selector:
          "ImportDeclaration[source.value='node:crypto'] > :matches(ImportNamespaceSpecifier, ImportDefaultSpecifier)",
        message: 'Import what you use from node:crypto by name.',
      },
      {
        selector: "MemberExpression[object.property.name='crypto'][property.name=/^(getRandomValues|randomUUID)$/]",
        message: TAKE_RANDOM,
      },
      {
        selector:
          'CallExpression[callee.property.name=/^(keygen|randomSecretKey|randomPrivateKey)$/][arguments.length=0]',
        message: `Without a seed this draws its own. ${TAKE_RANDOM}`,
      },
    )
  }
  if (env) {
    properties.push({ object: 'process', property: 'env', message: TAKE_CONFIG })
    paths.push({ name: 'node:process', importNames: ['env'], message: TAKE_CONFIG })
  }
  properties.push({ object: 'process', property: 'getBuiltinModule', message: 'Import it.' })
  return {
    'no-restricted-imports': ['error', { paths }],
    'no-restricted-properties': ['error', ...properties],
    'no-restricted-syntax': ['error', ...syntax],
  }
}

const timers = ['setTimeout', 'setInterval', 'setImmediate'].map((name) => ({ name, message: TAKE_CLOCK }))
const network = ['fetch', 'WebSocket', 'XMLHttpRequest', 'EventSource'].map((name) => ({
  name,
  message: 'The network is reached through src/ports.',
}))
const nodeOnly = ['Buffer', 'process', 'global', '__dirname'].map((name) => ({
  name,
  message: 'This room also runs in a browser.',
}))

export default defineConfig(
  globalIgnores(['node_modules/', 'build/', 'data/', 'src/crypto/kernel/assembly/']),
  { linterOptions: { reportUnusedDisableDirectives: 'error' } },
  { files: ['**/*.ts'], languageOptions: { parser } },

  // Clock, randomness and environment have one home each; the console belongs to main.
  { files: ['src/**/*.ts', 'workers/**/*.ts'], rules: { ...homes({}), 'no-console': 'error' } },
  { files: ['src/main/**/*.ts'], rules: { 'no-console': 'off' } },
  { files: [SYSTEM_HOME], rules: homes({ clock: false, random: false }) },
  { files: [ENV_HOME], rules: homes({ env: false }) },
  { files: [PAGE_CLOCK_HOME], rules: homes({ clock: false }) },

  // The middle of the house waits on the Clock it is given, so that a test can hold the world still. Rooms at the rim
  // and in the browser have timers of their own: they wait on outside things.
  {
    files: ['src/{access,ledger,sources,pipeline,upkeep}/**/*.ts'],
    rules: { 'no-restricted-globals': ['error', ...timers, ...network] },
  },
  {
    files: ['src/{domain,crypto,format,ports,retrieve}/**/*.ts'],
    rules: { 'no-restricted-globals': ['error', ...timers, ...network, ...nodeOnly] },
  },
  { files: ['src/http/**/*.ts'], rules: { 'no-restricted-globals': ['error', ...network] } },
  { files: ['src/console/**/*.ts'], rules: { 'no-restricted-globals': ['error', ...nodeOnly] } },
)
