import type Hls from 'hls.js'

/** hls.js, in either form. */
export type HlsClass = typeof Hls

/** The light form cannot choose between sounds; index.html has it fetched beside the page's own script. */
export type HlsForm = 'hls-light' | 'hls'

let failures = 0

/**
 * Fetches hls.js; `undefined` where the browser has no Media Source and plays HLS by itself. A second call gives what is there.
 * @throws what `import` throws when it does not come: the next call tries again.
 */
export async function loadHls(form: HlsForm): Promise<HlsClass | undefined> {
  if (!('MediaSource' in globalThis || 'ManagedMediaSource' in globalThis)) return undefined
  // some browsers keep a failure by its address
  const again = failures === 0 ? '' : `#${failures}`
  try {
    const script = (await import(new URL(`./${form}.js${again}`, import.meta.url).href)) as { default: HlsClass }
    return script.default
  } catch (error) {
    failures += 1
    throw error
  }
}
