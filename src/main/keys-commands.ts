import { InvalidArgumentError, type Command } from 'commander'
import type { CustodyOptions } from './commands/keys.ts'
import { newPassphraseFileFromEnvironment, type Config } from './config.ts'
import type { Screen } from './screen.ts'

const MAX_OFFICERS = 16

const officersCount = (text: string): number => {
  const value = Number(text)
  if (Number.isInteger(value) && value >= 2 && value <= MAX_OFFICERS) return value
  throw new InvalidArgumentError(`a number from 2 to ${MAX_OFFICERS} is needed`)
}

/** `mosaik keys …`: what the keyring opens with; and `mosaik passphrase`, its short form. */
export function keysCommands(
  program: Command,
  surroundings: () => { readonly config: Config; readonly screen: Screen },
): void {
  const changePassphrase = async (): Promise<void> => {
    const { config, screen } = surroundings()
    const { passphraseCommand } = await import('./commands/passphrase.ts')
    await passphraseCommand(config, screen, newPassphraseFileFromEnvironment())
  }
  const keys = program
    .command('keys')
    .description('what opens the keyring: a passphrase, shares of officers, or an HSM')
  keys
    .command('custody')
    .description(
      'split what opens the keyring among officers, while the vault does not run; from then on it starts sealed',
    )
    .requiredOption('--officers <n>', 'how many there are', officersCount)
    .requiredOption('--threshold <k>', 'how many of them open it', officersCount)
    .option('--share-files <folder>', 'write one file an officer there instead of showing the shares on the terminal')
    .action(async (options: CustodyOptions) => {
      const { config, screen } = surroundings()
      const { custodyCommand } = await import('./commands/keys.ts')
      await custodyCommand(config, screen, options)
    })
  keys
    .command('unseal')
    .description("give one officer's share to every sealed process on this machine; asked for, not shown")
    .option('--share-file <file>', 'the share from a file')
    .action(async (options: { shareFile?: string }) => {
      const { config, screen } = surroundings()
      const { unsealCommand } = await import('./commands/keys.ts')
      await unsealCommand(config, screen, options)
    })
  keys
    .command('status')
    .description('which processes on this machine are sealed, and how many shares they have')
    .action(async () => {
      const { config, screen } = surroundings()
      const { sealStatusCommand } = await import('./commands/keys.ts')
      await sealStatusCommand(config, screen)
    })
  keys
    .command('seal')
    .description('every process on this machine hands its work back and forgets its keys, and shares that were given')
    .action(async () => {
      const { config, screen } = surroundings()
      const { sealCommand } = await import('./commands/keys.ts')
      await sealCommand(config, screen)
    })
  keys
    .command('hsm')
    .description(
      'the keyring opens with a key in an HSM from now on, while the vault does not run (MOSAIK_HSM_MODULE, _TOKEN, _KEY, _PIN or _PIN_FILE)',
    )
    .action(async () => {
      const { config, screen } = surroundings()
      const { hsmCommand } = await import('./commands/keys.ts')
      await hsmCommand(config, screen)
    })
  keys
    .command('passphrase')
    .description(
      'the keyring opens with a new passphrase from now on, while the vault does not run (MOSAIK_NEW_PASSPHRASE_FILE, else asked for)',
    )
    .action(changePassphrase)
  program.command('passphrase').description('the same as `keys passphrase`').action(changePassphrase)
}
