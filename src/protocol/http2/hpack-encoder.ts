import { DEFAULT_TABLE_BYTES } from './constants.ts';
import { HpackTable } from './hpack-table.ts';
import { huffmanEncode, huffmanLength } from './huffman.ts';

/** Fields whose values change from message to message: to remember them would push out those that stay. */
const CHANGING: ReadonlySet<string> = new Set([
  'content-length',
  'date',
  'grpc-message',
  'grpc-timeout',
  'traceparent',
  'tracestate',
]);

/** Fields that nobody on the way may remember either. */
const SECRET: ReadonlySet<string> = new Set(['authorization', 'cookie', 'proxy-authorization', 'set-cookie']);

/** Longer values are not worth the entries that would have to make room. */
const MAX_REMEMBERED = 1024;

const INDEXED = 0x80;
const REMEMBERED = 0x40;
const TABLE_SIZE = 0x20;
const NEVER_INDEXED = 0x10;

/** Encodes the header blocks of one direction of a connection (RFC 7541). */
export class HpackEncoder {
  private readonly table = new HpackTable(DEFAULT_TABLE_BYTES);
  private target: Buffer = Buffer.allocUnsafe(1024);
  private length = 0;
  /** Table sizes that the other side must still be told. */
  private resizes: number[] = [];
  private readonly cache = new WeakMap<readonly string[], { readonly generation: number; readonly block: Buffer }>();

  /** The other side's SETTINGS_HEADER_TABLE_SIZE: no more than the usual size is made use of. */
  limitTable(bytes: number): void {
    const size = Math.min(bytes, DEFAULT_TABLE_BYTES);
    this.table.resize(size);
    this.resizes.push(size);
  }

  /**
   * @param fields names and values in turn, pseudo-header fields first. A list that is passed again, the same object,
   * is not encoded again while that gives the same bytes
   */
  encode(fields: readonly string[]): Buffer {
    const { generation } = this.table;
    const cached = this.cache.get(fields);
    if (cached?.generation === generation && this.resizes.length === 0) return cached.block;
    this.length = 0;
    const resized = this.resizes.length > 0;
    if (resized) this.writeResizes();
    for (let index = 0; index + 1 < fields.length; index += 2) {
      this.writeField(fields[index] ?? '', fields[index + 1] ?? '');
    }
    const block = Buffer.from(this.target.subarray(0, this.length));
    if (!resized && this.table.generation === generation) this.cache.set(fields, { generation, block });
    return block;
  }

  /** The smallest size in between has to be told as well (section 4.2). */
  private writeResizes(): void {
    const last = this.resizes.at(-1) ?? DEFAULT_TABLE_BYTES;
    const smallest = Math.min(...this.resizes);
    if (smallest < last) this.writeInteger(smallest, 5, TABLE_SIZE);
    this.writeInteger(last, 5, TABLE_SIZE);
    this.resizes = [];
  }

  private writeField(name: string, value: string): void {
    const { index, whole } = this.table.find(name, value);
    if (whole) {
      this.writeInteger(index, 7, INDEXED);
      return;
    }
    if (SECRET.has(name)) this.writeInteger(index, 4, NEVER_INDEXED);
    else if (CHANGING.has(name) || value.length > MAX_REMEMBERED) this.writeInteger(index, 4, 0);
    else {
      this.writeInteger(index, 6, REMEMBERED);
      this.table.add(name, value);
    }
    if (index === 0) this.writeText(name);
    this.writeText(value);
  }

  private writeInteger(value: number, prefix: number, marks: number): void {
    this.reserve(6);
    const mask = (1 << prefix) - 1;
    if (value < mask) {
      this.target[this.length++] = marks | value;
      return;
    }
    this.target[this.length++] = marks | mask;
    let rest = value - mask;
    while (rest >= 0x80) {
      this.target[this.length++] = (rest & 0x7f) | 0x80;
      rest >>>= 7;
    }
    this.target[this.length++] = rest;
  }

  private writeText(text: string): void {
    const bytes = Buffer.from(text, 'latin1');
    const packed = huffmanLength(bytes);
    if (packed < bytes.length) {
      this.writeInteger(packed, 7, 0x80);
      this.reserve(packed);
      this.length = huffmanEncode(bytes, this.target, this.length);
      return;
    }
    this.writeInteger(bytes.length, 7, 0);
    this.reserve(bytes.length);
    this.length += bytes.copy(this.target, this.length);
  }

  private reserve(bytes: number): void {
    if (this.length + bytes <= this.target.length) return;
    const larger = Buffer.allocUnsafe(2 * (this.length + bytes));
    this.target.copy(larger, 0, 0, this.length);
    this.target = larger;
  }
}
