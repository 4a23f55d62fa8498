// Started by run-folder.ts: waits until the test run is gone, killed or not, and ends what it has left running.
//   node reaper.ts FOLDER PID
import { existsSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { destroyAll } from './starters.ts'
import { isAlive } from './run-folder.ts'

const [folder, owner] = process.argv.slice(2)
if (folder === undefined || owner === undefined) throw new Error('usage: node reaper.ts FOLDER PID')
while (isAlive(Number(owner)) && existsSync(folder)) await sleep(500)
await destroyAll(folder)
