import { readlinkSync } from 'node:fs'
import { getPriority, setPriority } from 'node:os'
import { basename } from 'node:path'
import { parentPort } from 'node:worker_threads'
import { SEGMENT_OVERHEAD_BYTES } from '../../crypto/floe.ts'
import { SegmentOpener, SegmentSealer } from '../../crypto/segment-codec.ts'
import { createCodecTools } from './codec-tools.ts'
import { asMosaikError } from './inline-engine.ts'
import type { CodecSetup, FromWorker, ToWorker } from './protocol.ts'

// One thread of worker-engine.ts: one kernel, the codecs it was told of, one job after the other.

const port = parentPort
if (port === null) throw new Error('worker.ts runs in a worker thread of worker-engine.ts')

/** Behind whoever answers somebody, which is the main thread that feeds this one too; ahead of media tools, which have 10. */
const NICENESS = 9
makeWay()

const tools = createCodecTools()
const sealers = new Map<number, SegmentSealer>()
const openers = new Map<number, SegmentOpener>()

port.on('message', (message: ToWorker) => {
  switch (message.kind) {
    case 'sealer':
      sealers.set(message.codec, new SegmentSealer(tools, message.cipher, message.sharing))
      wipe(message)
      return
    case 'opener':
      openers.set(message.codec, new SegmentOpener(tools, message.cipher, message.sharing))
      wipe(message)
      return
    case 'forget':
      sealers.get(message.codec)?.close()
      openers.get(message.codec)?.close()
      sealers.delete(message.codec)
      openers.delete(message.codec)
      return
    case 'split':
      answer(message.job, () => {
        const { segment, plaintext, last, target } = message
        sealers.get(message.codec)!.splitRun(segment, plaintext, last, target)
        return [{ job: message.job }, []]
      })
      return
    case 'open':
      answer(message.job, () => {
        const opener = openers.get(message.codec)!
        const { plaintext } = message
        let at = 0
        const opened = message.run.map(({ segment, last, sealedBytes, blocks }) => {
          const target = new Uint8Array(plaintext, at, sealedBytes - SEGMENT_OVERHEAD_BYTES)
          at += target.length
          return opener.open(segment, last, sealedBytes, blocks, target)
        })
        return [{ job: message.job, opened }, [plaintext]]
      })
  }
})

function makeWay(): void {
  try {
    // Linux gives each thread a niceness of its own, by the thread's id.
    const thread = Number(basename(readlinkSync('/proc/thread-self')))
    setPriority(thread, Math.max(NICENESS, getPriority(thread)))
  } catch {
    // Elsewhere a thread has its process's.
  }
}

function answer(job: number, run: () => [FromWorker, ArrayBuffer[]]): void {
  try {
    const [reply, transfer] = run()
    port!.postMessage(reply, transfer)
  } catch (cause) {
    const { code, message, fields } = asMosaikError(cause)
    port!.postMessage({ job, error: { code, message, fields } } satisfies FromWorker)
  }
}

/** The codec has made its own of the keys; the message's copies go. */
function wipe({ cipher, sharing }: CodecSetup): void {
  cipher.dek.fill(0)
  for (const key of sharing.fragmentKeys.values()) key.fill(0)
  if ('rowsKey' in sharing) sharing.rowsKey.fill(0)
}
