import { DEFAULT_TABLE_BYTES, ErrorCode } from './constants.ts';
import { ENTRY_OVERHEAD, HpackTable } from './hpack-table.ts';
import { Http2Error } from './http2-error.ts';
import { huffmanDecode } from './huffman.ts';

/** A decoded header block. */
export interface HeaderList {
  /** Names and values in turn, in the order in which they came. */
  readonly fields: readonly string[];
  /** There were more than the decoder may keep: `fields` has the first of them. */
  readonly tooLarge: boolean;
}

/** Decodes the header blocks of one direction of a connection (RFC 7541). */
export class HpackDecoder {
  private readonly table = new HpackTable(DEFAULT_TABLE_BYTES);
  private readonly maxListBytes: number;
  private block: Buffer = Buffer.alloc(0);
  private offset = 0;
  /** Peers send the same block again and again: as long as the table is the same, it means the same. */
  private lastBlock: Buffer = Buffer.alloc(0);
  private lastGeneration = -1;
  private lastList: HeaderList | undefined;

  /** @param maxListBytes bytes of names and values, and 32 for each field, that a block may decode to */
  constructor(maxListBytes: number) {
    this.maxListBytes = maxListBytes;
  }

  /**
   * @returns the same object for a block that is the same as the one before
   * @throws Http2Error (COMPRESSION_ERROR) when the block is malformed: the connection cannot go on
   */
  decode(block: Buffer): HeaderList {
    const { generation } = this.table;
    if (this.lastList && this.lastGeneration === generation && this.lastBlock.equals(block)) return this.lastList;
    this.block = block;
    this.offset = 0;
    const list = this.readFields();
    // A block that changed the table means something else the next time.
    if (this.table.generation === generation) {
      this.lastBlock = Buffer.from(block);
      this.lastGeneration = generation;
      this.lastList = list;
    }
    return list;
  }

  private readFields(): HeaderList {
    const { block } = this;
    const fields: string[] = [];
    let bytes = 0;
    const keep = (name: string, value: string): void => {
      bytes += name.length + value.length + ENTRY_OVERHEAD;
      if (bytes <= this.maxListBytes) fields.push(name, value);
    };
    let first = true;
    while (this.offset < block.length) {
      const byte = block[this.offset] ?? 0;
      if (byte >= 0x80) {
        const [name, value] = this.indexed(this.integer(7));
        keep(name, value);
      } else if (byte >= 0x40) {
        const name = this.name(6);
        const value = this.text();
        this.table.add(name, value);
        keep(name, value);
      } else if (byte >= 0x20) {
        if (!first) throw malformed('a change of the table size comes after a field');
        this.resize(this.integer(5));
        continue;
      } else {
        const name = this.name(4);
        keep(name, this.text());
      }
      first = false;
    }
    return { fields, tooLarge: bytes > this.maxListBytes };
  }

  private resize(bytes: number): void {
    if (bytes > DEFAULT_TABLE_BYTES) {
      throw malformed(`a table size of ${bytes} is more than the ${DEFAULT_TABLE_BYTES} allowed`);
    }
    this.table.resize(bytes);
  }

  private indexed(index: number): readonly [string, string] {
    const field = this.table.at(index);
    if (!field) throw malformed(`there is no field with index ${index}`);
    return field;
  }

  /** A name by index, or as it stands. */
  private name(prefix: number): string {
    const index = this.integer(prefix);
    return index === 0 ? this.text() : this.indexed(index)[0];
  }

  private integer(prefix: number): number {
    const mask = (1 << prefix) - 1;
    const value = this.byte() & mask;
    if (value < mask) return value;
    let rest = 0;
    for (let shift = 0; shift <= 21; shift += 7) {
      const byte = this.byte();
      rest += (byte & 0x7f) << shift;
      if (byte < 0x80) return rest + mask;
    }
    throw malformed('an integer is too long');
  }

  private text(): string {
    const huffman = (this.block[this.offset] ?? 0) >= 0x80;
    const length = this.integer(7);
    const end = this.offset + length;
    if (end > this.block.length) throw malformed('it ends in the middle of a field');
    const start = this.offset;
    this.offset = end;
    return huffman ? huffmanDecode(this.block.subarray(start, end)) : this.block.toString('latin1', start, end);
  }

  private byte(): number {
    const byte = this.block[this.offset];
    if (byte === undefined) throw malformed('it ends in the middle of a field');
    this.offset++;
    return byte;
  }
}

function malformed(why: string): Http2Error {
  return new Http2Error(ErrorCode.COMPRESSION_ERROR, `malformed header block: ${why}`);
}
