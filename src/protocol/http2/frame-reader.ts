import { ErrorCode, Flag, FRAME_HEAD, FrameType } from './constants.ts';
import { Http2Error } from './http2-error.ts';

/** What a {@link FrameReader} finds. The bytes that it passes on are only good until the call returns. */
export interface FrameSink {
  /** A whole frame of any type but DATA, its padding included. */
  frame(type: number, flags: number, stream: number, payload: Buffer): void;
  /** The head of a DATA frame; `length` counts its padding, as flow control does. */
  dataHead(stream: number, length: number, ended: boolean): void;
  /** A piece of a DATA frame without padding; there may be many, or none. */
  data(piece: Buffer): void;
  /** The end of the DATA frame that was begun. */
  dataEnd(ended: boolean): void;
}

/** A DATA frame that is being read. */
interface OpenData {
  readonly ended: boolean;
  /** Bytes of data that are still to come. */
  left: number;
  /** Bytes of padding that are still to come; `undefined` while the byte that tells it has not been read. */
  padding: number | undefined;
}

const NOTHING = Buffer.alloc(0);

/** Cuts a stream of bytes into HTTP/2 frames. DATA is passed on as it comes, other frames once they are whole. */
export class FrameReader {
  private readonly sink: FrameSink;
  private readonly maxFrame: number;
  /** The beginning of a frame whose rest has not come. */
  private partial: Buffer = NOTHING;
  private open: OpenData | undefined;
  private stopped = false;

  /** @param maxFrame SETTINGS_MAX_FRAME_SIZE as announced */
  constructor(sink: FrameSink, maxFrame: number) {
    this.sink = sink;
    this.maxFrame = maxFrame;
  }

  /**
   * @param chunk may be written over once this returns
   * @throws Http2Error
   */
  push(chunk: Buffer): void {
    let bytes = chunk;
    if (this.partial.length > 0) {
      bytes = Buffer.concat([this.partial, chunk]);
      this.partial = NOTHING;
    }
    let offset = 0;
    while (!this.stopped) {
      if (this.open) {
        offset = this.readData(this.open, bytes, offset);
        if (this.open) return;
      }
      if (bytes.length - offset < FRAME_HEAD) break;
      const length = bytes.readUIntBE(offset, 3);
      const type = bytes[offset + 3] ?? 0;
      const flags = bytes[offset + 4] ?? 0;
      const stream = bytes.readUInt32BE(offset + 5) & 0x7f_ff_ff_ff;
      this.checkLength(type, length, stream);
      if (type === FrameType.DATA) {
        offset += FRAME_HEAD;
        const ended = (flags & Flag.END_STREAM) !== 0;
        this.sink.dataHead(stream, length, ended);
        this.open = { ended, left: length, padding: (flags & Flag.PADDED) === 0 ? 0 : undefined };
        continue;
      }
      const end = offset + FRAME_HEAD + length;
      if (bytes.length < end) break;
      this.sink.frame(type, flags, stream, bytes.subarray(offset + FRAME_HEAD, end));
      offset = end;
    }
    if (offset < bytes.length && !this.stopped) this.partial = Buffer.from(bytes.subarray(offset));
  }

  /** What comes from now on is not looked at. */
  stop(): void {
    this.stopped = true;
  }

  private checkLength(type: number, length: number, stream: number): void {
    if (length <= this.maxFrame) return;
    throw new Http2Error(
      ErrorCode.FRAME_SIZE_ERROR,
      `a frame of type ${type} on stream ${stream} has ${length} bytes; the most is ${this.maxFrame}`,
    );
  }

  /** @returns where the bytes go on */
  private readData(open: OpenData, bytes: Buffer, start: number): number {
    let offset = start;
    if (open.padding === undefined) {
      const padding = bytes[offset];
      if (padding === undefined && open.left > 0) return offset;
      if (padding === undefined || padding >= open.left) {
        throw new Http2Error(ErrorCode.PROTOCOL_ERROR, 'a DATA frame has more padding than bytes');
      }
      offset++;
      open.padding = padding;
      open.left -= padding + 1;
    }
    const taken = Math.min(open.left, bytes.length - offset);
    if (taken > 0) {
      this.sink.data(bytes.subarray(offset, offset + taken));
      open.left -= taken;
      offset += taken;
    }
    if (open.left > 0) return offset;
    const skipped = Math.min(open.padding, bytes.length - offset);
    open.padding -= skipped;
    offset += skipped;
    if (open.padding > 0) return offset;
    this.open = undefined;
    this.sink.dataEnd(open.ended);
    return offset;
  }
}
