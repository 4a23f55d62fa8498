/**
 * What `target.set(source)` does, four times as fast where one of them is shared memory, which `set` copies word by word (V8 13.6); Buffer's copy
 * of a part of a buffer is one memmove. Nobody else may write either meanwhile.
 *
 * @throws RangeError when the source is longer than the target.
 */
export function copyBytes(source: Uint8Array, target: Uint8Array): void {
  if (source.length > target.length) throw new RangeError('what is copied does not fit')
  if (source.buffer instanceof SharedArrayBuffer || target.buffer instanceof SharedArrayBuffer) {
    // of the whole memory that it lies in, so that it is a part
    const from = Buffer.from(source.buffer)
    from.copy(target, 0, source.byteOffset, source.byteOffset + source.length)
  } else target.set(source)
}
