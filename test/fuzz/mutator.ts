/** A generator of random numbers that gives the same ones for the same seed (xorshift). */
export class Random {
  private state: number;

  constructor(seed: number) {
    this.state = seed | 0 || 1;
  }

  /** A whole number from 0 to `limit - 1`. */
  below(limit: number): number {
    let { state } = this;
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    this.state = state;
    return (state >>> 0) % limit;
  }

  of<T>(list: readonly T[]): T {
    const one = list[this.below(list.length)];
    if (one === undefined) throw new Error('an empty list has nothing to choose from');
    return one;
  }
}

/**
 * Changes an input in a few places: bits, bytes, numbers at their limits, pieces taken out, doubled, or put in from
 * another input or from a dictionary of what the format gives a meaning to.
 */
export function mutate(random: Random, corpus: readonly Buffer[], dictionary: readonly Buffer[]): Buffer {
  let bytes: Buffer = Buffer.from(random.of(corpus));
  for (let changes = random.below(6); changes > 0; changes--) bytes = change(random, bytes, corpus, dictionary);
  return bytes;
}

const LIMITS = [0, 1, 0x7f, 0x80, 0xff, 0x0d, 0x0a, 0x20] as const;

function change(random: Random, bytes: Buffer, corpus: readonly Buffer[], dictionary: readonly Buffer[]): Buffer {
  const at = random.below(bytes.length + 1);
  const to = Math.min(bytes.length, at + random.below(24));
  const splice = (piece: Uint8Array, end = at): Buffer =>
    Buffer.concat([bytes.subarray(0, at), piece, bytes.subarray(end)]);
  switch (random.below(7)) {
    case 0:
      if (at < bytes.length) bytes[at] = (bytes[at] ?? 0) ^ (1 << random.below(8));
      return bytes;
    case 1:
      if (at < bytes.length) bytes[at] = random.of(LIMITS);
      return bytes;
    case 2:
      return splice(Buffer.alloc(0), to);
    case 3:
      return splice(bytes.subarray(at, to));
    case 4: {
      const other = random.of(corpus);
      const from = random.below(other.length + 1);
      return splice(other.subarray(from, from + random.below(64)));
    }
    case 5:
      return splice(random.of(dictionary));
    default:
      return splice(random.of(dictionary), to);
  }
}

/** Cuts bytes at a few places. */
export function cut(random: Random, bytes: Buffer): readonly Buffer[] {
  const places = Array.from({ length: random.below(5) }, () => random.below(bytes.length + 1)).toSorted(
    (a, b) => a - b,
  );
  return [0, ...places].map((from, index) => bytes.subarray(from, places[index] ?? bytes.length));
}
