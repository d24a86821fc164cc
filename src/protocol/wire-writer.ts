/** Sizes of protobuf pieces, so that a message is written into one exactly sized buffer. */
export function varintSize(value: number): number {
  let size = 1;
  for (let rest = value; rest >= 128; rest = Math.floor(rest / 128)) size++;
  return size;
}

/** Bytes of a length-delimited field with a one-byte tag. */
export function fieldSize(length: number): number {
  return 1 + varintSize(length) + length;
}

/** Writes protobuf into a buffer whose size was computed beforehand. */
export class WireWriter {
  readonly buffer: Buffer;
  offset = 0;

  constructor(size: number) {
    this.buffer = Buffer.allocUnsafe(size);
  }

  varint(value: number): void {
    let rest = value;
    while (rest >= 128) {
      this.buffer[this.offset++] = (rest % 128) | 0x80;
      rest = Math.floor(rest / 128);
    }
    this.buffer[this.offset++] = rest;
  }

  /** A string field whose UTF-8 length is known. */
  string(tag: number, text: string, byteLength: number): void {
    this.varint(tag);
    this.varint(byteLength);
    this.offset += this.buffer.write(text, this.offset, byteLength, 'utf8');
  }

  bytes(tag: number, data: Uint8Array): void {
    this.varint(tag);
    this.varint(data.length);
    this.raw(data);
  }

  raw(data: Uint8Array): void {
    this.buffer.set(data, this.offset);
    this.offset += data.length;
  }
}
