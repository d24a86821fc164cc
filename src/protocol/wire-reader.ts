import { isUtf8 } from 'node:buffer';
import { invalidArgument } from '../core/index.ts';

export const WIRE_VARINT = 0;
export const WIRE_FIXED64 = 1;
export const WIRE_BYTES = 2;
export const WIRE_FIXED32 = 5;

/**
 * A cursor over a protobuf message. Byte fields come out as views on the message, which is why the hot path does not
 * go through generated code.
 */
export class WireReader {
  private readonly buffer: Buffer;
  private offset: number;
  private readonly end: number;

  constructor(buffer: Buffer, start = 0, end = buffer.length) {
    this.buffer = buffer;
    this.offset = start;
    this.end = end;
  }

  /** The next field's tag (`number << 3 | wire type`), or 0 at the end of the message. */
  tag(): number {
    if (this.offset >= this.end) return 0;
    const tag = this.varint();
    if (tag < 8 || tag > 0xff_ff_ff_ff) throw malformed(`a field cannot have the tag ${tag}`);
    return tag;
  }

  done(): boolean {
    return this.offset >= this.end;
  }

  /** A varint that fits 32 bits unsigned, or a larger one as its nearest double. */
  varint(): number {
    let result = 0;
    let scale = 1;
    for (let index = 0; index < 10; index++) {
      const byte = this.byte();
      result += (byte & 0x7f) * scale;
      if (byte < 0x80) return result;
      scale *= 128;
    }
    throw malformed('a varint of more than ten bytes');
  }

  /** A 64-bit varint, exact. */
  bigVarint(): bigint {
    let result = 0n;
    for (let shift = 0n; shift < 70n; shift += 7n) {
      const byte = this.byte();
      result |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) return BigInt.asUintN(64, result);
    }
    throw malformed('a varint of more than ten bytes');
  }

  /** An `int64` as a number when it is exact, else as a bigint. */
  int64(): number | bigint {
    const value = BigInt.asIntN(64, this.bigVarint());
    const number = Number(value);
    return Number.isSafeInteger(number) ? number : value;
  }

  /** An `int64` whose large values need not be exact (dimensions). */
  signed(): number {
    const start = this.offset;
    const value = this.varint();
    if (value <= Number.MAX_SAFE_INTEGER) return value;
    this.offset = start;
    return Number(BigInt.asIntN(64, this.bigVarint()));
  }

  bool(): boolean {
    return this.varint() !== 0;
  }

  /** Text; protobuf's strings are UTF-8 and nothing else. */
  string(): string {
    const length = this.length();
    const start = this.offset;
    this.offset += length;
    const text = this.buffer.toString('utf8', start, this.offset);
    // What cannot be decoded becomes the replacement character, which may also have been sent as such.
    if (text.includes('\ufffd') && !isUtf8(this.buffer.subarray(start, this.offset)))
      throw malformed('text that is not UTF-8');
    return text;
  }

  bytes(): Buffer {
    const length = this.length();
    const start = this.offset;
    this.offset += length;
    return this.buffer.subarray(start, this.offset);
  }

  /** A reader over a length-delimited field. */
  message(): WireReader {
    const length = this.length();
    const start = this.offset;
    this.offset += length;
    return new WireReader(this.buffer, start, this.offset);
  }

  double(): number {
    this.need(8);
    this.offset += 8;
    return this.buffer.readDoubleLE(this.offset - 8);
  }

  float(): number {
    this.need(4);
    this.offset += 4;
    return this.buffer.readFloatLE(this.offset - 4);
  }

  /** Steps over a field that the reader's user does not know. */
  skip(tag: number): void {
    switch (tag & 7) {
      case WIRE_VARINT:
        this.varint();
        return;
      case WIRE_FIXED64:
        this.need(8);
        this.offset += 8;
        return;
      case WIRE_BYTES:
        this.offset += this.length();
        return;
      case WIRE_FIXED32:
        this.need(4);
        this.offset += 4;
        return;
      default:
        throw malformed(`wire type ${tag & 7}`);
    }
  }

  private length(): number {
    const length = this.varint();
    this.need(length);
    return length;
  }

  private byte(): number {
    if (this.offset >= this.end) throw malformed('a message that ends in the middle of a field');
    return this.buffer[this.offset++] ?? 0;
  }

  private need(bytes: number): void {
    if (this.offset + bytes > this.end) throw malformed('a length beyond the end of the message');
  }
}

function malformed(what: string): Error {
  return invalidArgument(`malformed protobuf message: ${what}`);
}
