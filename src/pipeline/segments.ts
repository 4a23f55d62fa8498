/** One piece of the plaintext in order. */
export interface PlainPiece {
  readonly index: number
  readonly bytes: Uint8Array
  readonly last: boolean
}

/**
 * The content, and behind it zeros up to the length that `lengthOf` gives for its length; in pieces of bounded size, since nothing is known
 * before the end.
 */
export async function* paddedContent(
  content: AsyncIterable<Uint8Array>,
  lengthOf: (contentBytes: number) => number,
  observe: (chunk: Uint8Array) => void,
): AsyncGenerator<Uint8Array> {
  let contentBytes = 0
  for await (const chunk of content) {
    observe(chunk)
    contentBytes += chunk.length
    yield chunk
  }
  let leftBytes = lengthOf(contentBytes) - contentBytes
  const zeros = new Uint8Array(Math.min(leftBytes, ZEROS_BYTES))
  for (; leftBytes > 0; leftBytes -= ZEROS_BYTES) yield zeros.subarray(0, leftBytes)
}

const ZEROS_BYTES = 262_112

/**
 * Cuts a stream into pieces of `pieceBytes`, of one segment or several; exactly one is the last, and it may be empty or full
 * (docs/FORMAT.md §3).
 * Copies each byte once, short beginnings twice. `observe` sees every chunk in order, before it is cut; `take` gives memory of that size, with
 * anything in it, once there is more than an eighth of it to keep: most of what is stored is short.
 */
export async function* cutSegments(
  content: AsyncIterable<Uint8Array>,
  pieceBytes: number,
  observe: (chunk: Uint8Array) => void,
  take: () => Uint8Array = () => new Uint8Array(pieceBytes),
): AsyncGenerator<PlainPiece> {
  const shortBytes = Math.ceil(pieceBytes / 8)
  let index = 0
  let filling: Uint8Array = new Uint8Array(0)
  let filledBytes = 0
  for await (const chunk of content) {
    observe(chunk)
    let taken = 0
    while (taken < chunk.length) {
      if (filledBytes === pieceBytes) {
        // Full and more bytes follow: only now is it known not to be the last.
        yield { index: index++, bytes: filling, last: false }
        filling = take()
        filledBytes = 0
      }
      const part = chunk.subarray(taken, taken + pieceBytes - filledBytes)
      if (filledBytes + part.length > filling.length) {
        const longer = filledBytes + part.length > shortBytes ? take() : new Uint8Array(shortBytes)
        longer.set(filling.subarray(0, filledBytes))
        filling = longer
      }
      filling.set(part, filledBytes)
      filledBytes += part.length
      taken += part.length
    }
  }
  yield { index, bytes: filledBytes === filling.length ? filling : filling.slice(0, filledBytes), last: true }
}
