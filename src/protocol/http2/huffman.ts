import { ErrorCode } from './constants.ts';
import { Http2Error } from './http2-error.ts';

/**
 * Lengths in bits of the codes of RFC 7541, appendix B, for each byte and the end mark. The code is canonical: codes of
 * one length count up in the order of their symbols, so the lengths tell all of it.
 */
const LENGTHS = `
13 23 28 28 28 28 28 28 28 24 30 28 28 30 28 28 28 28 28 28 28 28 30 28 28 28 28 28 28 28 28 28
6 10 10 12 13 6 8 11 10 10 8 11 8 6 6 6 5 5 5 6 6 6 6 6 6 6 7 8 15 6 12 10
13 6 7 7 7 7 7 7 7 7 7 7 7 7 7 7 7 7 7 7 7 7 7 7 8 7 8 13 19 13 14 6
15 5 6 5 6 5 6 6 6 5 7 7 6 6 6 5 6 7 6 5 5 6 7 7 7 7 7 15 11 14 13 28
20 22 20 20 22 22 22 23 22 23 23 23 23 23 24 23 24 24 22 23 24 23 23 23 23 21 22 23 22 23 23 24
22 21 20 22 22 23 23 21 23 22 22 24 21 22 23 23 21 21 22 21 23 22 23 23 20 22 22 22 23 22 22 23
26 26 20 19 22 23 22 25 26 26 26 27 27 26 24 25 19 21 26 27 27 26 27 24 21 21 26 26 28 27 27 27
20 24 20 21 22 21 21 23 22 22 25 25 24 24 26 23 26 27 26 26 27 27 27 27 27 28 27 27 27 27 27 26
30`
  .trim()
  .split(/\s+/)
  .map(Number);

const END_MARK = 256;
const MAX_LENGTH = 30;

/** The code of every symbol. */
const CODES = assignCodes();

function assignCodes(): readonly number[] {
  const codes: number[] = Array.from({ length: LENGTHS.length }, () => 0);
  let code = 0;
  for (let length = 1; length <= MAX_LENGTH; length++) {
    for (let symbol = 0; symbol < LENGTHS.length; symbol++) {
      if (LENGTHS[symbol] === length) codes[symbol] = code++;
    }
    code *= 2;
  }
  return codes;
}

/**
 * The code as a tree: node `n` has its children at `2n` and `2n + 1`. A positive child is a node, a negative one the
 * symbol `-child - 1`, and 0 nothing.
 */
const TREE = growTree();

function growTree(): Int16Array {
  const tree = new Int16Array(2 * LENGTHS.length);
  let nodes = 1;
  LENGTHS.forEach((length, symbol) => {
    const code = CODES[symbol] ?? 0;
    let node = 0;
    for (let bit = length - 1; bit > 0; bit--) {
      const at = 2 * node + ((code >>> bit) & 1);
      if (tree[at] === 0) tree[at] = nodes++;
      node = tree[at] ?? 0;
    }
    tree[2 * node + (code & 1)] = -symbol - 1;
  });
  return tree;
}

/** Bytes that a text takes when it is encoded. */
export function huffmanLength(text: Uint8Array): number {
  let bits = 0;
  for (const byte of text) bits += LENGTHS[byte] ?? 0;
  return Math.ceil(bits / 8);
}

/** Writes the code of a text at `offset`; unused bits of its last byte are ones. */
export function huffmanEncode(text: Uint8Array, target: Uint8Array, offset: number): number {
  let at = offset;
  let pending = 0;
  let bits = 0;
  for (const byte of text) {
    let length = LENGTHS[byte] ?? 0;
    const code = CODES[byte] ?? 0;
    while (length > 0) {
      const take = Math.min(8 - bits, length);
      length -= take;
      pending = (pending << take) | ((code >>> length) & ((1 << take) - 1));
      bits += take;
      if (bits < 8) break;
      target[at++] = pending;
      pending = 0;
      bits = 0;
    }
  }
  if (bits > 0) target[at++] = (pending << (8 - bits)) | (0xff >> bits);
  return at;
}

/**
 * The text of a code.
 * @throws Http2Error when it has the end mark in it, or does not end with less than a byte of ones
 */
export function huffmanDecode(code: Uint8Array): string {
  const text = Buffer.allocUnsafe(Math.floor((code.length * 8) / 5));
  let length = 0;
  let node = 0;
  // Bits since the last symbol, and whether all of them were ones.
  let rest = 0;
  let ones = true;
  for (const byte of code) {
    for (let bit = 7; bit >= 0; bit--) {
      const value = (byte >>> bit) & 1;
      const next = TREE[2 * node + value] ?? 0;
      rest++;
      if (value === 0) ones = false;
      if (next >= 0) {
        node = next;
        continue;
      }
      if (next === -END_MARK - 1) throw malformed();
      text[length++] = -next - 1;
      node = 0;
      rest = 0;
      ones = true;
    }
  }
  if (rest > 7 || !ones) throw malformed();
  return text.toString('latin1', 0, length);
}

function malformed(): Http2Error {
  return new Http2Error(ErrorCode.COMPRESSION_ERROR, 'a header has a malformed Huffman code');
}
