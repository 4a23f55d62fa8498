// The inner loops, as templates: `G` (general outputs) and `split` are constants wherever a pass is called, and each call
// is inlined, so every `if` on them is gone in the compiled code and unused accumulators with it.
//
// Column by column over the inputs, all outputs of the pass in registers: one load and one split into nibbles of an input
// serves every output. `split`: output 0 is the plain XOR, and input 0 enters every output with weight 1, unmultiplied.

/** Lookup of 16. Indices are below 16 by construction, where the relaxed form is the same on every machine. */
// @ts-ignore: decorator
@inline
function look(table: v128, indices: v128): v128 {
  if (ASC_FEATURE_RELAXED_SIMD) return i8x16.relaxed_swizzle(table, indices)
  return i8x16.swizzle(table, indices)
}

/** One vector a turn, from byte `from` to byte `to`: wide passes and what is left of narrow ones. G: 0 … 6. */
// @ts-ignore: decorator
@inline
export function pass1(
  G: i32, split: bool, inputs: i32, table: usize, input: usize, inputStride: usize, output: usize, outputStride: usize, from: usize, to: usize,
): void {
  const low = i8x16.splat(0x0f)
  const entry: usize = 32 * G
  for (let at: usize = from; at < to; at += 16) {
    let row = input + at
    let weights = table
    let xa = split ? v128.load(row, 0) : i8x16.splat(0)
    let pa = xa
    let s1a = xa
    let s2a = xa
    let s3a = xa
    let s4a = xa
    let s5a = xa
    let s6a = xa
    let j = 0
    if (split) {
      j = 1
      row += inputStride
    }
    for (; j < inputs; ++j) {
      xa = v128.load(row, 0)
      if (split) {
        pa = v128.xor(pa, xa)
      }
      if (G > 0) {
        const la = v128.and(xa, low)
        const ha = v128.and(i16x8.shr_u(xa, 4), low)
        if (G >= 1) {
          const tl = v128.load(weights, 0)
          const th = v128.load(weights, 16)
          s1a = v128.xor(s1a, v128.xor(look(tl, la), look(th, ha)))
        }
        if (G >= 2) {
          const tl = v128.load(weights, 32)
          const th = v128.load(weights, 48)
          s2a = v128.xor(s2a, v128.xor(look(tl, la), look(th, ha)))
        }
        if (G >= 3) {
          const tl = v128.load(weights, 64)
          const th = v128.load(weights, 80)
          s3a = v128.xor(s3a, v128.xor(look(tl, la), look(th, ha)))
        }
        if (G >= 4) {
          const tl = v128.load(weights, 96)
          const th = v128.load(weights, 112)
          s4a = v128.xor(s4a, v128.xor(look(tl, la), look(th, ha)))
        }
        if (G >= 5) {
          const tl = v128.load(weights, 128)
          const th = v128.load(weights, 144)
          s5a = v128.xor(s5a, v128.xor(look(tl, la), look(th, ha)))
        }
        if (G >= 6) {
          const tl = v128.load(weights, 160)
          const th = v128.load(weights, 176)
          s6a = v128.xor(s6a, v128.xor(look(tl, la), look(th, ha)))
        }
        weights += entry
      }
      row += inputStride
    }
    let out = output + at
    if (split) {
      v128.store(out, pa, 0)
      out += outputStride
    }
    if (G >= 1) {
      v128.store(out, s1a, 0)
      out += outputStride
    }
    if (G >= 2) {
      v128.store(out, s2a, 0)
      out += outputStride
    }
    if (G >= 3) {
      v128.store(out, s3a, 0)
      out += outputStride
    }
    if (G >= 4) {
      v128.store(out, s4a, 0)
      out += outputStride
    }
    if (G >= 5) {
      v128.store(out, s5a, 0)
      out += outputStride
    }
    if (G >= 6) {
      v128.store(out, s6a, 0)
    }
  }
}

/** Two vectors a turn, bytes 0 … to − 1. G: 2 … 6. */
// @ts-ignore: decorator
@inline
export function pass2(
  G: i32, split: bool, inputs: i32, table: usize, input: usize, inputStride: usize, output: usize, outputStride: usize, to: usize,
): void {
  const low = i8x16.splat(0x0f)
  const entry: usize = 32 * G
  for (let at: usize = 0; at < to; at += 32) {
    let row = input + at
    let weights = table
    let xa = split ? v128.load(row, 0) : i8x16.splat(0)
    let xb = split ? v128.load(row, 16) : i8x16.splat(0)
    let pa = xa
    let pb = xb
    let s1a = xa; let s1b = xb
    let s2a = xa; let s2b = xb
    let s3a = xa; let s3b = xb
    let s4a = xa; let s4b = xb
    let s5a = xa; let s5b = xb
    let s6a = xa; let s6b = xb
    let j = 0
    if (split) {
      j = 1
      row += inputStride
    }
    for (; j < inputs; ++j) {
      xa = v128.load(row, 0)
      xb = v128.load(row, 16)
      if (split) {
        pa = v128.xor(pa, xa)
        pb = v128.xor(pb, xb)
      }
      if (G > 0) {
        const la = v128.and(xa, low)
        const ha = v128.and(i16x8.shr_u(xa, 4), low)
        const lb = v128.and(xb, low)
        const hb = v128.and(i16x8.shr_u(xb, 4), low)
        if (G >= 1) {
          const tl = v128.load(weights, 0)
          const th = v128.load(weights, 16)
          s1a = v128.xor(s1a, v128.xor(look(tl, la), look(th, ha)))
          s1b = v128.xor(s1b, v128.xor(look(tl, lb), look(th, hb)))
        }
        if (G >= 2) {
          const tl = v128.load(weights, 32)
          const th = v128.load(weights, 48)
          s2a = v128.xor(s2a, v128.xor(look(tl, la), look(th, ha)))
          s2b = v128.xor(s2b, v128.xor(look(tl, lb), look(th, hb)))
        }
        if (G >= 3) {
          const tl = v128.load(weights, 64)
          const th = v128.load(weights, 80)
          s3a = v128.xor(s3a, v128.xor(look(tl, la), look(th, ha)))
          s3b = v128.xor(s3b, v128.xor(look(tl, lb), look(th, hb)))
        }
        if (G >= 4) {
          const tl = v128.load(weights, 96)
          const th = v128.load(weights, 112)
          s4a = v128.xor(s4a, v128.xor(look(tl, la), look(th, ha)))
          s4b = v128.xor(s4b, v128.xor(look(tl, lb), look(th, hb)))
        }
        if (G >= 5) {
          const tl = v128.load(weights, 128)
          const th = v128.load(weights, 144)
          s5a = v128.xor(s5a, v128.xor(look(tl, la), look(th, ha)))
          s5b = v128.xor(s5b, v128.xor(look(tl, lb), look(th, hb)))
        }
        if (G >= 6) {
          const tl = v128.load(weights, 160)
          const th = v128.load(weights, 176)
          s6a = v128.xor(s6a, v128.xor(look(tl, la), look(th, ha)))
          s6b = v128.xor(s6b, v128.xor(look(tl, lb), look(th, hb)))
        }
        weights += entry
      }
      row += inputStride
    }
    let out = output + at
    if (split) {
      v128.store(out, pa, 0)
      v128.store(out, pb, 16)
      out += outputStride
    }
    if (G >= 1) {
      v128.store(out, s1a, 0)
      v128.store(out, s1b, 16)
      out += outputStride
    }
    if (G >= 2) {
      v128.store(out, s2a, 0)
      v128.store(out, s2b, 16)
      out += outputStride
    }
    if (G >= 3) {
      v128.store(out, s3a, 0)
      v128.store(out, s3b, 16)
      out += outputStride
    }
    if (G >= 4) {
      v128.store(out, s4a, 0)
      v128.store(out, s4b, 16)
      out += outputStride
    }
    if (G >= 5) {
      v128.store(out, s5a, 0)
      v128.store(out, s5b, 16)
      out += outputStride
    }
    if (G >= 6) {
      v128.store(out, s6a, 0)
      v128.store(out, s6b, 16)
    }
  }
}

/** Four vectors a turn, bytes 0 … to − 1: for a single output and for plain XOR. G: 0 … 1. */
// @ts-ignore: decorator
@inline
export function pass4(
  G: i32, split: bool, inputs: i32, table: usize, input: usize, inputStride: usize, output: usize, outputStride: usize, to: usize,
): void {
  const low = i8x16.splat(0x0f)
  const entry: usize = 32 * G
  for (let at: usize = 0; at < to; at += 64) {
    let row = input + at
    let weights = table
    let xa = split ? v128.load(row, 0) : i8x16.splat(0)
    let xb = split ? v128.load(row, 16) : i8x16.splat(0)
    let xc = split ? v128.load(row, 32) : i8x16.splat(0)
    let xd = split ? v128.load(row, 48) : i8x16.splat(0)
    let pa = xa
    let pb = xb
    let pc = xc
    let pd = xd
    let s1a = xa; let s1b = xb; let s1c = xc; let s1d = xd
    let j = 0
    if (split) {
      j = 1
      row += inputStride
    }
    for (; j < inputs; ++j) {
      xa = v128.load(row, 0)
      xb = v128.load(row, 16)
      xc = v128.load(row, 32)
      xd = v128.load(row, 48)
      if (split) {
        pa = v128.xor(pa, xa)
        pb = v128.xor(pb, xb)
        pc = v128.xor(pc, xc)
        pd = v128.xor(pd, xd)
      }
      if (G > 0) {
        const la = v128.and(xa, low)
        const ha = v128.and(i16x8.shr_u(xa, 4), low)
        const lb = v128.and(xb, low)
        const hb = v128.and(i16x8.shr_u(xb, 4), low)
        const lc = v128.and(xc, low)
        const hc = v128.and(i16x8.shr_u(xc, 4), low)
        const ld = v128.and(xd, low)
        const hd = v128.and(i16x8.shr_u(xd, 4), low)
        if (G >= 1) {
          const tl = v128.load(weights, 0)
          const th = v128.load(weights, 16)
          s1a = v128.xor(s1a, v128.xor(look(tl, la), look(th, ha)))
          s1b = v128.xor(s1b, v128.xor(look(tl, lb), look(th, hb)))
          s1c = v128.xor(s1c, v128.xor(look(tl, lc), look(th, hc)))
          s1d = v128.xor(s1d, v128.xor(look(tl, ld), look(th, hd)))
        }
        weights += entry
      }
      row += inputStride
    }
    let out = output + at
    if (split) {
      v128.store(out, pa, 0)
      v128.store(out, pb, 16)
      v128.store(out, pc, 32)
      v128.store(out, pd, 48)
      out += outputStride
    }
    if (G >= 1) {
      v128.store(out, s1a, 0)
      v128.store(out, s1b, 16)
      v128.store(out, s1c, 32)
      v128.store(out, s1d, 48)
    }
  }
}
