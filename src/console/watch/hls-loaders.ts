import type { FragmentLoaderConstructor, PlaylistLoaderConstructor } from 'hls.js'
import type { HlsClass } from './hls-script.ts'
import { nowMs } from './page.ts'
import { PictureOnly } from './picture-only.ts'

/** The loader of hls.js for segments, which takes the sound out of files with a picture while `hasSounds`. */
export function segmentLoader(Hls: HlsClass, hasSounds: () => boolean): FragmentLoaderConstructor {
  const Loader = Hls.DefaultConfig.loader as FragmentLoaderConstructor
  const pictureOnly = new PictureOnly()
  return class extends Loader {
    override load(
      ...[context, settings, callbacks]: Parameters<InstanceType<FragmentLoaderConstructor>['load']>
    ): void {
      const { onSuccess } = callbacks
      super.load(context, settings, {
        ...callbacks,
        onSuccess(response, ...rest) {
          const isPicture = context.frag.type === 'main' && hasSounds()
          if (isPicture && response.data instanceof ArrayBuffer) pictureOnly.strip(context.url, response.data)
          onSuccess(response, ...rest)
        },
      })
    }
  }
}

/** The loader of hls.js for playlists, which does not fetch what is known by its address. */
export function playlistLoader(Hls: HlsClass, known: ReadonlyMap<string, string>): PlaylistLoaderConstructor {
  const Loader = Hls.DefaultConfig.loader as PlaylistLoaderConstructor
  return class extends Loader {
    #isOver = false

    override load(
      ...[context, settings, callbacks]: Parameters<InstanceType<PlaylistLoaderConstructor>['load']>
    ): void {
      const data = known.get(context.url)
      if (data === undefined) {
        super.load(context, settings, callbacks)
        return
      }
      const { stats } = this
      const at = nowMs()
      stats.loading = { start: at, first: at, end: at }
      stats.loaded = stats.total = data.length
      // not at once: hls.js is still noting that it has asked
      queueMicrotask(() => {
        if (!this.#isOver) callbacks.onSuccess({ url: context.url, data, code: 200 }, stats, context, null)
      })
    }

    override abort(): void {
      this.#isOver = true
      super.abort()
    }

    override destroy(): void {
      this.#isOver = true
      super.destroy()
    }
  }
}
