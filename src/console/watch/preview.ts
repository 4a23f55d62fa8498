/** One small picture: from when on, and where in the sprite. */
interface Tile {
  readonly fromSeconds: number
  readonly x: number
  readonly y: number
  readonly width: number
  readonly height: number
}

const cuePattern = /^(?:(\d+):)?(\d\d):(\d\d\.\d{3}) --> .*\n(\S+)#xywh=(\d+),(\d+),(\d+),(\d+)$/gm

/** Small pictures of the recording for the seek bar, read from its storyboard. Nice to have: whatever goes wrong, there are none. */
export class Preview {
  #tiles: readonly Tile[] = []
  /** One element, moved about behind a frame: as a background the picture, which may not be stored, could be fetched at each move. */
  #sprite: HTMLImageElement | undefined
  #loading: AbortController | undefined

  /** @param address of the WebVTT; null: there is none. */
  load(address: string | null): void {
    this.#loading?.abort()
    this.#tiles = []
    this.#sprite = undefined
    if (address === null) return
    const loading = new AbortController()
    this.#loading = loading
    void this.#read(address, loading.signal).catch(() => undefined)
  }

  /** Shows the picture of a second in `place`; false when there is none. */
  draw(place: HTMLElement, seconds: number): boolean {
    const tile = this.#tiles.findLast(({ fromSeconds }) => fromSeconds <= seconds) ?? this.#tiles[0]
    const sprite = this.#sprite
    if (tile === undefined || sprite === undefined) return false
    if (sprite.parentElement !== place) place.replaceChildren(sprite)
    place.style.width = `${tile.width}px`
    place.style.height = `${tile.height}px`
    sprite.style.transform = `translate(-${tile.x}px, -${tile.y}px)`
    return true
  }

  async #read(address: string, signal: AbortSignal): Promise<void> {
    const response = await fetch(address, { signal, credentials: 'same-origin', redirect: 'error' })
    if (!response.ok) return
    const text = await response.text()
    const cues = [...text.matchAll(cuePattern)]
    const name = cues[0]?.[4]
    if (name === undefined) return
    const tiles = cues.map(([, hours = '0', minutes, seconds, , x, y, width, height]) => ({
      fromSeconds: Number(hours) * 3600 + Number(minutes) * 60 + Number(seconds),
      ...{ x: Number(x), y: Number(y), width: Number(width), height: Number(height) },
    }))
    const sprite = new Image()
    sprite.alt = ''
    sprite.src = new URL(name, address).href
    await sprite.decode()
    if (signal.aborted) return
    this.#sprite = sprite
    this.#tiles = tiles
  }
}
