import { Argument, Command, CommanderError, InvalidArgumentError, Option } from 'commander'
import { checkScheme } from '../domain/dispersal.ts'
import { MosaikError, isMosaikError } from '../domain/errors.ts'
import type { PlacementRule } from '../domain/placement.ts'
import { roles, type Role } from '../domain/roles.ts'
import { findVault } from './client.ts'
import {
  addOrganisation,
  addToken,
  listOrganisations,
  listTokens,
  revokeToken,
  type TokenOptions,
} from './commands/access.ts'
import type { DepositOptions } from './commands/deposit.ts'
import { doctor } from './commands/doctor.ts'
import { askLinkPasscode, createLink, listLinks, revokeLink } from './commands/links.ts'
import { parseScheme, setPolicy } from './commands/policy.ts'
import type { RebuildOptions } from './commands/rebuild.ts'
import { listRecordings, retryRecording, showRecording } from './commands/recordings.ts'
import type { RotateKeysOptions } from './commands/rotate-keys.ts'
import { linkPasscodeFromEnvironment, readConfig, remoteVault, type Config } from './config.ts'
import { keysCommands } from './keys-commands.ts'
import { nodeCommands, type WithVault } from './node-commands.ts'
import { Screen } from './screen.ts'

// The vault itself is loaded by the commands that need it, when they run: the others start at once.

/** Exit codes, as docs/OPERATIONS.md lists them. */
const EXIT = { failed: 1, usage: 2, unauthorized: 3, temporary: 4, verification: 5 } as const

interface LinkFlags {
  readonly expires?: string
  readonly maxViews?: number
  readonly download: boolean
  readonly passcode: boolean
  readonly drawPasscode: boolean
}

interface GlobalOptions {
  readonly data?: string
}

/** Asked of the words themselves: a usage error may come before commander has read as far as `--json`. */
const wantsJson = process.argv.slice(2, wordsEnd(process.argv)).includes('--json')

const program = new Command('mosaik')
  .description(
    'A recording vault: sealed with hybrid post-quantum keys, split over independent stores, played from a link',
  )
  .option('--data <folder>', 'data folder (MOSAIK_DATA, ./data)')
  .option('--json', 'print data instead of words')
  .showHelpAfterError()
  .configureOutput(wantsJson ? { writeErr: () => undefined } : {})
  .exitOverride()

function surroundings(): { config: Config; screen: Screen } {
  const { data } = program.opts<GlobalOptions>()
  return { config: readConfig({ data }), screen: new Screen(wantsJson) }
}

/** Runs against the vault that is there, else opens the one of the data folder for as long as the command takes. */
const withVault: WithVault = async (task) => {
  const { config, screen } = surroundings()
  const running = findVault(config)
  if (running) return await task(running, screen)
  const [{ refuseIfNone, refuseIfSealed }, { startVault }] = await Promise.all([
    import('./opening.ts'),
    import('./start.ts'),
  ])
  refuseIfNone(config)
  await refuseIfSealed(config)
  const own = await startVault({ ...config, port: 0, watch: undefined }, { askPassphrase: false }, screen)
  try {
    await task(own.client, screen)
  } finally {
    await own.close()
  }
}

const wholeNumber = (text: string): number => {
  const value = Number(text)
  if (!Number.isInteger(value) || value < 1) throw new InvalidArgumentError('a whole number from 1 is needed')
  return value
}

const collectAll = (one: string, all: readonly string[]): string[] => [...all, one]

program
  .command('start')
  .description('run the whole vault in this process; deposit FILES, or a sample the first time')
  .argument('[files...]')
  .option('--port <number>', 'port (MOSAIK_PORT, 8420; 0 takes a free one)')
  .option('--host <address>', 'address to listen on (MOSAIK_HOST, 127.0.0.1)')
  .option('--data <folder>', 'data folder (MOSAIK_DATA, ./data)')
  .option('--watch <folder>', 'deposit finished recordings of this folder')
  .option('--ask-passphrase', 'ask for the passphrase of a new keyring instead of writing one down')
  .option('--no-sample', 'deposit no sample on first use')
  .option('--check', 'try everything once in a place of its own, say whether it works, and end')
  .action(async (files: string[], flags: Record<string, string | boolean | undefined>) => {
    const { config: base, screen } = surroundings()
    const { port, host, watch, data } = flags
    if (flags['check'] === true) {
      const { check } = await import('./commands/check.ts')
      return await check(screen, { port, host, data })
    }
    const config = readConfig({ data: data ?? base.data, port, host, watch })
    const { start } = await import('./commands/start.ts')
    await start(config, screen, files, {
      askPassphrase: flags['askPassphrase'] === true,
      sample: flags['sample'] !== false,
    })
  })

program
  .command('deposit')
  .description('upload a recording')
  .argument('<file>')
  .option('--title <text>', 'title; the file name without')
  .option('--host <id>', 'whose recording it is', 'local')
  .option('--host-name <text>')
  .option('--host-email <address>')
  .option('--captions <file>', 'WebVTT or SubRip; once for each language', collectAll, [])
  .option('--started-at <iso>', 'when the meeting began')
  .option('--external-id <id>', 'the same id again finds the first deposit')
  .option('--wait', 'until it plays', false)
  .action((file: string, options: DepositOptions) =>
    withVault(async (client, screen) => {
      const { deposit } = await import('./commands/deposit.ts')
      await deposit(client, screen, file, options)
    }),
  )

program
  .command('ls')
  .description('list recordings')
  .option('--search <words>', 'words of the title')
  .action((options: { search?: string }) =>
    withVault((client, screen) => listRecordings(client, screen, options.search)),
  )

program
  .command('show')
  .description('state, reason and timeline of a recording')
  .argument('<recording>')
  .action((id: string) => withVault((client, screen) => showRecording(client, screen, id)))

program
  .command('retry')
  .description('try failed work of a recording again')
  .argument('<recording>')
  .action((id: string) => withVault((client, screen) => retryRecording(client, screen, id)))

program
  .command('link')
  .description('make a signed link')
  .argument('<recording>')
  .option('--expires <time>', 'for example 7d, 12h (at most 30d)')
  .option('--max-views <number>', 'how often it may be opened', wholeNumber)
  .option('--download', 'allow downloading the original', false)
  .option('--passcode', 'also ask viewers for a passcode (MOSAIK_LINK_PASSCODE, else asked for here)', false)
  .option('--draw-passcode', 'the same, with a passcode that is drawn and shown once', false)
  .action(async (recording: string, options: LinkFlags) => {
    const passcode = options.drawPasscode
      ? true
      : options.passcode
        ? await askLinkPasscode(linkPasscodeFromEnvironment())
        : undefined
    await withVault((client, screen) => createLink(client, screen, recording, { ...options, passcode }))
  })

program
  .command('links')
  .description('links of a recording, with views')
  .argument('<recording>')
  .action((recording: string) => withVault((client, screen) => listLinks(client, screen, recording)))

program
  .command('revoke')
  .description('end a link now')
  .argument('<link>')
  .action((link: string) => withVault((client, screen) => revokeLink(client, screen, link)))

nodeCommands(program, withVault)

program
  .command('policy')
  .description('scheme and placement rule of new recordings')
  .option('--scheme <k,n,t>', 'for example 3,5,1')
  .option('--placement <rule>', 'strict or none')
  .action((options: Parameters<typeof setPolicy>[2]) =>
    withVault((client, screen) => setPolicy(client, screen, options)),
  )

program
  .command('setup')
  .description('make a vault of many processes (docs/OPERATIONS.md "Many machines"), once')
  .option('--name <text>', 'name of the organisation', 'default')
  .option('--scheme <k,n,t>', 'scheme of new recordings', '3,5,1')
  .addOption(new Option('--placement <rule>', 'placement rule').choices(['strict', 'none']).default('strict'))
  .action(async (options: { name: string; scheme: string; placement: PlacementRule }) => {
    const { config, screen } = surroundings()
    const scheme = parseScheme(options.scheme)
    checkScheme(scheme)
    const { setUp } = await import('./setup.ts')
    const made = await setUp(config, { name: options.name, scheme, placementRule: options.placement })
    screen.result(
      made.isNew
        ? `Organisation ${made.organisation} was made.`
        : `Organisation ${made.organisation} is there already.`,
      made,
    )
  })

const organisation = program
  .command('organisation')
  .description('organisations of the installation (admin of the provider)')
organisation
  .command('add')
  .description('make an organisation with keys of its own')
  .argument('<name>')
  .option('--scheme <k,n,t>', "scheme of its recordings; the provider's without")
  .addOption(new Option('--placement <rule>', "placement rule; the provider's without").choices(['strict', 'none']))
  .action((name: string, options: Parameters<typeof addOrganisation>[3]) =>
    withVault((client, screen) => addOrganisation(client, screen, name, options)),
  )
organisation
  .command('ls')
  .description('list them')
  .action(() => withVault(listOrganisations))

const token = program.command('token').description('bearer tokens by role and organisation')
token
  .command('add', { isDefault: true })
  .description('make a token, shown once')
  .addArgument(new Argument('<role>').choices(roles))
  .option('--name <text>', 'what it is for', 'command line')
  .option('--organisation <id or name>', "another organisation than the provider's")
  .action(async (role: Role, options: TokenOptions) => {
    const { config, screen } = surroundings()
    // Where several processes run there is no token to begin with: the first one is made straight in the catalog.
    if (config.databaseUrl !== undefined && remoteVault() === undefined) {
      const { makeToken } = await import('./setup.ts')
      const made = await makeToken(config, role, options)
      return screen.result(made.token, made)
    }
    await withVault((client, shown) => addToken(client, shown, role, options))
  })
token
  .command('ls')
  .description('list tokens, never as they are')
  .option('--organisation <id or name>', "another organisation than the token's own")
  .action((options: Pick<TokenOptions, 'organisation'>) =>
    withVault((client, screen) => listTokens(client, screen, options)),
  )
token
  .command('revoke')
  .description('end a token now')
  .argument('<token>', 'its id')
  .action((id: string) => withVault((client, screen) => revokeToken(client, screen, id)))

program
  .command('doctor')
  .description('how the vault is, what waits for repair, and what would be lost if somebody vanished')
  .action(() => withVault(doctor))

program
  .command('fsck')
  .description('hold the catalog against itself and against the nodes; changes nothing')
  .action(async () => {
    const { config, screen } = surroundings()
    const { fsckCommand } = await import('./commands/fsck.ts')
    await fsckCommand(config, screen)
  })

program
  .command('rebuild')
  .description('a working vault from the nodes and the recovery key, or the keyring in the data folder')
  .option('--recovery-key-file <file>', 'the recovery key as it was printed')
  .option('--node <folder or file>', 'a folder, or a JSON file with settings; once for each node', collectAll, [])
  .option('--merge', 'bring a catalog from a backup up to the nodes')
  .option('--release', 'let deletions go on after a rebuild')
  .action(async (options: RebuildOptions) => {
    const { config, screen } = surroundings()
    const { rebuildCommand } = await import('./commands/rebuild.ts')
    await rebuildCommand(config, screen, options)
  })

keysCommands(program, surroundings)

program
  .command('rotate-keys')
  .description('vault and signing keys of a new epoch; the running vault wraps what is stored anew')
  .addOption(new Option('--status', 'how far that is').conflicts('destroyOld'))
  .option('--destroy-old', 'destroy the keys of earlier epochs, when nothing needs them any more')
  .option(
    '--recovery-key-file <file>',
    'sign the new vault card with the recovery key instead of the present signing key',
  )
  .action(async (options: RotateKeysOptions) => {
    const { config, screen } = surroundings()
    const { rotateKeysCommand } = await import('./commands/rotate-keys.ts')
    await rotateKeysCommand(config, screen, options)
  })

program
  .command('recovery-key')
  .description('show the recovery key, once, on the terminal')
  .addOption(new Option('--shares <k-of-n>', 'as SLIP-39 shares, for example 3-of-5').conflicts('combine'))
  .option('--combine', 'ask for shares and show the recovery key; needs no vault')
  .action(async (options: { shares?: string; combine?: boolean }) => {
    if (options.combine) {
      const { combineRecoveryShares } = await import('./recovery-shares.ts')
      return await combineRecoveryShares()
    }
    const { parseSharing, recoveryKey } = await import('./commands/recovery-key.ts')
    const { config, screen } = surroundings()
    await recoveryKey(config, screen, options.shares === undefined ? undefined : parseSharing(options.shares))
  })

/** Where what follows is no option any more. */
function wordsEnd(argv: readonly string[]): number {
  const at = argv.indexOf('--')
  return at === -1 ? argv.length : at
}

/** A usage error as commander words it. Without --json it has printed it itself, with the help. */
function usageMessage({ code, message }: CommanderError): string {
  if (code === 'commander.help') return 'a command is missing; `npx mosaik --help` lists them'
  return message.replace(/^error: /, '')
}

function exitCodeOf(error: unknown): number {
  if (!isMosaikError(error)) return EXIT.failed
  if (error.code === 'E_UNAUTHORIZED' || error.code === 'E_FORBIDDEN') return EXIT.unauthorized
  if (error.code === 'E_SOURCE_HASH' || error.code === 'E_NODE_CORRUPT') return EXIT.verification
  if (error.code === 'E_INPUT' || error.code === 'E_CONFIG') return EXIT.usage
  return error.retry === 'never' ? EXIT.failed : EXIT.temporary
}

try {
  await program.parseAsync()
} catch (error) {
  if (!(error instanceof CommanderError)) {
    new Screen(wantsJson).failure(error)
    process.exitCode = exitCodeOf(error)
  } else if (error.exitCode !== 0) {
    if (wantsJson) new Screen(true).failure(new MosaikError('E_INPUT', usageMessage(error)))
    process.exitCode = EXIT.usage
  }
}
