import { MosaikError } from '../../src/domain/errors.ts'
import type { MediaInfo, MediaInput, MediaTool } from '../../src/ports/media.ts'
import { eachAlone } from '../support/rendition.ts'
import type { WorldView } from './process.ts'

/** First byte of what the media tool can play. */
export const PLAYABLE = 0x4d
const HEADER_BYTES = 32
const PIECE_BYTES = 50_000
const DURATION_MS = 4000

/** What the media tool makes of an original. */
export function renditionOf(original: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(HEADER_BYTES + original.length).fill(0x52)
  original.forEach((byte, i) => (bytes[HEADER_BYTES + i] = byte ^ 0x5a))
  return bytes
}

const info: MediaInfo = {
  format: 'mov,mp4,m4a,3gp,3g2,mj2',
  durationMs: DURATION_MS,
  streams: [
    {
      ...{
        index: 0,
        type: 'video',
        codec: 'h264',
        profile: 'High',
        language: 'und',
        title: '',
        width: 640,
        height: 360,
      },
      ...{ pixelFormat: 'yuv420p', bitsPerSecond: 500_000, rotationDegrees: 0 },
    },
  ],
}

/** A media tool that needs no time of ours, and fails as often as the weather says. */
export function simulatedMedia({ chance, time, weather }: WorldView): MediaTool {
  const maybeFail = (): void => {
    if (chance.chance(weather().tool)) throw new MosaikError('E_MEDIA_TOOL', 'ffmpeg was made to fail')
  }
  const wholeOf = async (input: MediaInput, signal: AbortSignal): Promise<Uint8Array> => {
    const chunks: Uint8Array[] = []
    for await (const chunk of input.read(0, input.sizeBytes, signal)) chunks.push(Uint8Array.from(chunk))
    return new Uint8Array(Buffer.concat(chunks))
  }
  return {
    confinement: 'none',
    async probe(input, signal) {
      await time.sleep(100 * chance.fraction(), signal)
      maybeFail()
      for await (const chunk of input.read(0, 1, signal)) if (chunk[0] === PLAYABLE) return info
      throw new MosaikError('E_MEDIA_UNREADABLE', 'this is no media')
    },
    renditions: eachAlone(async (_plan, input, _info, _plans, progress, signal) => {
      maybeFail()
      const original = await wholeOf(input, signal)
      const made = renditionOf(original)
      return {
        bytes: (async function* () {
          for (let at = 0; at < made.length; at += PIECE_BYTES) {
            await time.sleep(500 * chance.fraction(), signal)
            maybeFail()
            progress(Math.round((DURATION_MS * at) / made.length))
            yield made.slice(at, at + PIECE_BYTES)
          }
        })(),
        index: () => ({
          ...{ codecs: 'avc1.64001f', width: 640, height: 360, bandwidthBitsPerSecond: 500_000 },
          ...{ durationMs: DURATION_MS, initBytes: HEADER_BYTES },
          segments: [[HEADER_BYTES, original.length, DURATION_MS * 1000]] as const,
        }),
      }
    }),
    poster: () => Promise.resolve(new Uint8Array(100).fill(7)),
    captions: () => Promise.reject(new MosaikError('E_MEDIA_UNSUPPORTED', 'there are none')),
    storyboard: () => Promise.reject(new MosaikError('E_MEDIA_UNSUPPORTED', 'there is none')),
  }
}
