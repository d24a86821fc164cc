/**
 * BYTES tensors on the wire: every element is a 4-byte little-endian length and that many bytes
 * (KServe v2 binary tensor data extension).
 */

const LENGTH_PREFIX = 4;

/** What is wrong with an encoded BYTES tensor. */
export type BytesFault =
  | { readonly kind: 'truncated-length'; readonly element: number }
  | { readonly kind: 'truncated-element'; readonly element: number; readonly length: number };

export type BytesWalk = { readonly kind: 'ok'; readonly elements: number } | BytesFault;

/** Counts the elements without copying them, or says where the encoding breaks. */
export function walkBytes(data: Uint8Array): BytesWalk {
  let offset = 0;
  let element = 0;
  while (offset < data.length) {
    if (offset + LENGTH_PREFIX > data.length) return { kind: 'truncated-length', element };
    const length = readLength(data, offset);
    offset += LENGTH_PREFIX + length;
    if (offset > data.length) return { kind: 'truncated-element', element, length };
    element++;
  }
  return { kind: 'ok', elements: element };
}

/** Views of the elements. The encoding must be sound (see {@link walkBytes}). */
export function decodeBytes(data: Uint8Array): Uint8Array[] {
  const elements: Uint8Array[] = [];
  for (let offset = 0; offset + LENGTH_PREFIX <= data.length;) {
    const start = offset + LENGTH_PREFIX;
    const end = start + readLength(data, offset);
    elements.push(data.subarray(start, end));
    offset = end;
  }
  return elements;
}

/** Elements with their length prefixes, in one buffer. */
export function encodeBytes(elements: readonly Uint8Array[]): Uint8Array {
  let size = 0;
  for (const element of elements) size += LENGTH_PREFIX + element.length;
  const data = new Uint8Array(size);
  let offset = 0;
  for (const element of elements) {
    writeLength(data, offset, element.length);
    data.set(element, offset + LENGTH_PREFIX);
    offset += LENGTH_PREFIX + element.length;
  }
  return data;
}

/** The elements as UTF-8 texts. The encoding must be sound. */
export function decodeStrings(data: Uint8Array): string[] {
  return decodeBytes(data).map(({ buffer, byteOffset, byteLength }) =>
    Buffer.from(buffer, byteOffset, byteLength).toString('utf8'),
  );
}

/** Texts as UTF-8 elements. */
export function encodeStrings(texts: readonly string[]): Uint8Array {
  return encodeBytes(texts.map((text) => Buffer.from(text, 'utf8')));
}

function readLength(data: Uint8Array, offset: number): number {
  return (
    ((data[offset] ?? 0) |
      ((data[offset + 1] ?? 0) << 8) |
      ((data[offset + 2] ?? 0) << 16) |
      ((data[offset + 3] ?? 0) << 24)) >>>
    0
  );
}

function writeLength(data: Uint8Array, offset: number, length: number): void {
  data[offset] = length & 0xff;
  data[offset + 1] = (length >>> 8) & 0xff;
  data[offset + 2] = (length >>> 16) & 0xff;
  data[offset + 3] = length >>> 24;
}

/**
 * Byte offset at which each of `counts` consecutive groups of elements ends: splits a batched BYTES tensor.
 * The encoding must be sound.
 */
export function splitOffsets(data: Uint8Array, counts: readonly number[]): number[] {
  const ends: number[] = [];
  let offset = 0;
  for (const count of counts) {
    for (let element = 0; element < count; element++) offset += LENGTH_PREFIX + readLength(data, offset);
    ends.push(offset);
  }
  return ends;
}
