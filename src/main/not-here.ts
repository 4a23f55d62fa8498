import { MosaikError } from '../domain/errors.ts'
import type { JobQueue } from '../ports/jobs.ts'
import type { MediaTool } from '../ports/media.ts'
import type { Spool } from '../ports/spool.ts'
import type { Upkeep } from './upkeep.ts'

// What stands where a process of several does not do a thing: asking it is a fault of ours, and says so.

/** Where state is placed by no duty of this process. */
export const noUpkeep: Upkeep = { stateChanged: () => undefined, close: () => Promise.resolve() }

const notHere = (what: string): Promise<never> =>
  Promise.reject(new MosaikError('E_INTERNAL', `this process has no ${what}: that is another group's`))

export const noQueue: JobQueue = {
  enqueue: () => notHere('Redis'),
  process: () => {
    throw new MosaikError('E_INTERNAL', "this process has no Redis: that is another group's")
  },
  drained: () => notHere('Redis'),
  ping: () => notHere('Redis'),
  close: () => Promise.resolve(),
}

export const noMedia: MediaTool = {
  confinement: 'none',
  probe: () => notHere('ffmpeg'),
  renditions: () => notHere('ffmpeg'),
  poster: () => notHere('ffmpeg'),
  storyboard: () => notHere('ffmpeg'),
  captions: () => notHere('ffmpeg'),
}

export const noSpool: Spool = {
  begin: () => notHere('spool'),
  append: () => notHere('spool'),
  offsetBytes: () => notHere('spool'),
  read: () => {
    throw new MosaikError('E_INTERNAL', "this process has no spool: that is another group's")
  },
  remove: () => notHere('spool'),
  rotateKeys: () => notHere('spool'),
}
