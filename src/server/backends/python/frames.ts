import { parseExactJson, jsonText } from '../../../protocol/index.ts';

/** Bytes of the two lengths in front of a message: of its JSON text, and of the bytes after that. */
const HEAD_BYTES = 8;

/** A message as bytes: two little-endian 32-bit lengths, a JSON text, and bytes. */
export function encodeFrame(meta: object, parts: readonly Uint8Array[]): Buffer {
  const text = frameText(meta);
  const textBytes = Buffer.byteLength(text);
  let size = 0;
  for (const part of parts) size += part.length;
  const frame = Buffer.allocUnsafe(HEAD_BYTES + textBytes + size);
  frame.writeUInt32LE(textBytes, 0);
  frame.writeUInt32LE(size, 4);
  frame.write(text, HEAD_BYTES);
  let offset = HEAD_BYTES + textBytes;
  for (const part of parts) {
    frame.set(part, offset);
    offset += part.length;
  }
  return frame;
}

function frameText(meta: object): string {
  try {
    return JSON.stringify(meta);
  } catch {
    // Sequence ids and parameters may be integers that only a bigint holds.
    return jsonText(meta);
  }
}

/** Digits that a double may not hold. */
const LONG_INTEGER = /\d{16}/;

/** Cuts a stream of bytes into messages. */
export class FrameReader {
  private readonly onFrame: (meta: unknown, payload: Buffer) => void;
  private pending: Buffer[] = [];
  private pendingBytes = 0;
  /** Bytes needed before it is worth looking again. */
  private wanted = HEAD_BYTES;

  constructor(onFrame: (meta: unknown, payload: Buffer) => void) {
    this.onFrame = onFrame;
  }

  push(chunk: Buffer): void {
    this.pending.push(chunk);
    this.pendingBytes += chunk.length;
    if (this.pendingBytes < this.wanted) return;
    const bytes = this.pending.length === 1 ? chunk : Buffer.concat(this.pending, this.pendingBytes);
    let offset = 0;
    this.wanted = HEAD_BYTES;
    while (bytes.length - offset >= HEAD_BYTES) {
      const textEnd = offset + HEAD_BYTES + bytes.readUInt32LE(offset);
      const end = textEnd + bytes.readUInt32LE(offset + 4);
      if (end > bytes.length) {
        this.wanted = end - offset;
        break;
      }
      const text = bytes.toString('utf8', offset + HEAD_BYTES, textEnd);
      this.onFrame(LONG_INTEGER.test(text) ? parseExactJson(text) : JSON.parse(text), bytes.subarray(textEnd, end));
      offset = end;
    }
    this.pending = offset === bytes.length ? [] : [bytes.subarray(offset)];
    this.pendingBytes = bytes.length - offset;
  }
}
