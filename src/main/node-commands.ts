import type { Command } from 'commander'
import type { VaultClient } from './client.ts'
import {
  dismiss,
  drain,
  rebalance,
  removeNode,
  reshare,
  setCredentials,
  setNode,
  type NodeSetOptions,
  type StepOptions,
} from './commands/node-life.ts'
import { addNode, listNodes, probeNode, secretKeyOf } from './commands/nodes.ts'
import { secretKeyFromEnvironment } from './config.ts'
import type { Screen } from './screen.ts'

/** Runs a command's task against the vault that is there. */
export type WithVault = (task: (client: VaultClient, screen: Screen) => Promise<void>) => Promise<void>

/** `mosaik nodes …`, and `mosaik reshare`, which moves what lies on them. */
export function nodeCommands(program: Command, withVault: WithVault): void {
  const nodes = program.command('nodes').description('storage nodes')
  nodes
    .command('add')
    .description('probe a store and add it')
    .argument('<name>')
    .requiredOption('--country <code>', 'two letters')
    .requiredOption('--operator <name>', 'who runs it')
    .option('--parent <name>', 'company that owns the operator; the operator itself without')
    .requiredOption('--site <name>', 'data centre')
    .option('--path <folder>', 'a folder as a node')
    .option('--endpoint <url>', 'an S3 service')
    .option('--region <name>')
    .option('--bucket <name>')
    .option('--prefix <text>', 'folder in the bucket, with / at the end')
    .option('--access-key <id>')
    .option('--secret-key-file <file>', 'else MOSAIK_SECRET_KEY')
    .action((name: string, options: Parameters<typeof addNode>[3]) =>
      withVault((client, screen) => addNode(client, screen, name, options, secretKeyFromEnvironment())),
    )
  nodes
    .command('ls')
    .description('list nodes')
    .action(() => withVault(listNodes))
  nodes
    .command('probe')
    .description('try again what a node can do')
    .argument('<node>', 'id or name')
    .action((node: string) => withVault((client, screen) => probeNode(client, screen, node)))

  nodes
    .command('drain')
    .description('empty a node while the vault runs')
    .argument('<node>', 'id or name')
    .option('--pause', 'move nothing more; the node stays read-only')
    .option('--status', 'how far it is')
    .action((node: string, options: StepOptions) => withVault((client, screen) => drain(client, screen, node, options)))
  nodes
    .command('dismiss')
    .description('for cause: never read or write it again, and share anew all that it knows; there is no way back')
    .argument('<node>', 'id or name')
    .option('--pause', 'share nothing more anew for dismissed nodes')
    .option('--status', 'how far it is')
    .action((node: string, options: StepOptions) =>
      withVault((client, screen) => dismiss(client, screen, node, options)),
    )
  nodes
    .command('set')
    .description('who owns a node now, and where it stands; what is against the rule then is shared anew')
    .argument('<node>', 'id or name')
    .option('--operator <name>', 'who runs it')
    .option('--parent <name>', 'company that owns the operator')
    .option('--site <name>', 'data centre')
    .option('--country <code>', 'two letters')
    .action((node: string, options: NodeSetOptions) =>
      withVault((client, screen) => setNode(client, screen, node, options)),
    )
  for (const state of ['read-only', 'active'] as const) {
    nodes
      .command(state)
      .description(state === 'active' ? 'let a node take new shares again' : 'keep new shares away from a node')
      .argument('<node>', 'id or name')
      .action((node: string) => withVault((client, screen) => setNode(client, screen, node, { state })))
  }
  nodes
    .command('credentials')
    .description('replace the credentials of a bucket; the new ones are tried first')
    .argument('<node>', 'id or name')
    .requiredOption('--access-key <id>')
    .option('--secret-key-file <file>', 'else MOSAIK_SECRET_KEY')
    .action((node: string, options: { accessKey: string; secretKeyFile?: string }) =>
      withVault((client, screen) => {
        const secret = secretKeyOf(options.secretKeyFile, secretKeyFromEnvironment())
        return setCredentials(client, screen, node, options.accessKey, secret)
      }),
    )
  nodes
    .command('remove')
    .description('take an empty node out; drain it first')
    .argument('<node>', 'id or name')
    .action((node: string) => withVault((client, screen) => removeNode(client, screen, node)))
  nodes
    .command('rebalance')
    .description('give every node that takes writes as much as the others')
    .option('--dry-run', 'say what would move')
    .option('--bandwidth <amount>', 'bytes a second, for example 10MiB')
    .option('--pause', 'move nothing more for now')
    .option('--status', 'how far it is')
    .action((options: Parameters<typeof rebalance>[2]) =>
      withVault((client, screen) => rebalance(client, screen, options)),
    )

  program
    .command('reshare')
    .description('a new sharing of what is stored, by another scheme where one is given; nothing is decrypted')
    .argument('[recording]')
    .option('--all', 'every recording, by --scheme')
    .option('--scheme <k,n,t>', 'for example 3,5,1')
    .option('--pause', 'pause what was asked for')
    .option('--status', 'what waits')
    .action((recording: string | undefined, options: Parameters<typeof reshare>[3]) =>
      withVault((client, screen) => reshare(client, screen, recording, options)),
    )
}
