/**
 * Runs inside the sandbox, where there is no network but the loopback address of its own: takes connections on
 * 127.0.0.1 and carries them to the one Unix socket that was bound in. Then it starts the media tool, whose HTTP knows
 * no Unix sockets, and ends with its exit code.
 *
 *   node forwarder.mjs SOCKET PORT PROGRAM ARGUMENT…
 *
 * A file of its own without imports from the house: the sandbox holds nothing else of it. What the tool writes does not
 * pass through here: its standard output and error are what we were given as file descriptors 3 and 4. Plain JavaScript: it is started
 * for each run of a tool, and to take types out would cost more than all the rest of its start.
 */
import { spawn } from 'node:child_process'
import { connect, createServer } from 'node:net'
import { constants } from 'node:os'

const [socketPath, port, program, ...argumentList] = process.argv.slice(2)
if (socketPath === undefined || port === undefined || program === undefined) process.exit(64)

const server = createServer({ allowHalfOpen: true }, (client) => {
  const upstream = connect({ path: socketPath, allowHalfOpen: true })
  client.pipe(upstream)
  upstream.pipe(client)
  for (const [end, other] of [
    [client, upstream],
    [upstream, client],
  ]) {
    end.on('error', () => other.destroy())
    end.on('close', () => other.destroy())
  }
})

server.listen(Number(port), '127.0.0.1', () => {
  const tool = spawn(program, argumentList, { stdio: ['ignore', 3, 4] })
  tool.on('error', () => process.exit(127))
  tool.on('exit', (code, signal) => process.exit(code ?? 128 + (signal === null ? 0 : constants.signals[signal])))
})
