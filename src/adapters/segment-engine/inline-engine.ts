import { SegmentOpener as OpenerCodec, SegmentSealer } from '../../crypto/segment-codec.ts'
import type { SealerTools } from '../../crypto/segment-codec.ts'
import type { KernelName } from '../../crypto/kernel/kernel.ts'
import { MosaikError } from '../../domain/errors.ts'
import type { SegmentEngine, SegmentOpener, SegmentSplitter } from '../../ports/segment-engine.ts'
import { createCodecTools } from './codec-tools.ts'

/** The codec in place, on the caller's thread: for tests, and where one thread is all there is. */
export interface InlineEngine extends SegmentEngine {
  readonly kernelName: KernelName
}

/** @param tools of this thread; another kernel or other primitives for tests. */
export function createInlineEngine(tools: SealerTools = createCodecTools()): InlineEngine {
  let closed = false
  const open = <T>(codec: { close(): void }, run: () => T): Promise<T> => {
    if (closed || closedCodecs.has(codec))
      return Promise.reject(new MosaikError('E_ABORTED', 'the segment engine is closed'))
    try {
      return Promise.resolve(run())
    } catch (error) {
      return Promise.reject(asMosaikError(error))
    }
  }
  const closedCodecs = new WeakSet<object>()
  const close = (codec: { close(): void }) => {
    closedCodecs.add(codec)
    codec.close()
  }
  return {
    kernelName: tools.kernel.name,
    parallelism: 1,
    splitter(cipher, sharing): SegmentSplitter {
      const codec = new SegmentSealer(tools, cipher, sharing)
      return {
        split: (segment, plaintext, last) => open(codec, () => codec.splitRun(segment, plaintext, last)),
        close: () => {
          close(codec)
        },
      }
    },
    opener(cipher, sharing): SegmentOpener {
      const codec = new OpenerCodec(tools, cipher, sharing)
      return {
        open: (segment, last, sealedBytes, blocks) => open(codec, () => codec.open(segment, last, sealedBytes, blocks)),
        openRun: (run) =>
          open(codec, () => run.map((one) => codec.open(one.segment, one.last, one.sealedBytes, one.blocks))),
        close: () => {
          close(codec)
        },
      }
    },
    // one thread has few segments under way: what it writes is left to the garbage collector; neither pooled nor zeroed
    takeMemory: (sizeBytes) => new Uint8Array(Buffer.allocUnsafeSlow(sizeBytes).buffer),
    recycle() {},
    close() {
      closed = true
      return Promise.resolve()
    },
  }
}

/** What is no error of the house is a mistake in the program. */
export function asMosaikError(error: unknown): MosaikError {
  if (error instanceof MosaikError) return error
  const reason = error instanceof Error ? error.message : 'unknown'
  return new MosaikError('E_INTERNAL', `a segment was not processed: ${reason}`, {}, error)
}
