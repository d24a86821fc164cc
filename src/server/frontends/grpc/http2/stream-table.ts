import { ErrorCode, Http2Error } from '../../../../protocol/http2/index.ts';
import type { Http2Stream } from './stream.ts';

/** Streams given up by this side, whose client may not know yet. */
const REMEMBERED = 1000;

/** The streams of a connection: those that are open, and what is to be known of the others. */
export class StreamTable {
  private readonly streams = new Map<number, Http2Stream>();
  /** Streams that this side has ended lately, while the client was still sending. */
  private readonly lately = new Set<number>();
  /** The highest number that the client has used, and how many it has used. */
  private last = 0;
  private used = 0;

  get size(): number {
    return this.streams.size;
  }

  /** The highest stream that the client has opened. */
  get lastId(): number {
    return this.last;
  }

  get(id: number): Http2Stream | undefined {
    return this.streams.get(id);
  }

  add(stream: Http2Stream): void {
    this.streams.set(stream.id, stream);
  }

  delete(stream: Http2Stream): void {
    this.streams.delete(stream.id);
  }

  values(): Iterable<Http2Stream> {
    return this.streams.values();
  }

  /** Bytes of answers that wait to be sent. */
  unsentBytes(): number {
    let bytes = 0;
    for (const stream of this.streams.values()) bytes += stream.unsent;
    return bytes;
  }

  /** A client may still send on this stream, and does not know better. */
  endedLately(id: number): boolean {
    return this.lately.has(id);
  }

  remember(id: number): void {
    this.lately.add(id);
    if (this.lately.size <= REMEMBERED) return;
    for (const oldest of this.lately) {
      this.lately.delete(oldest);
      break;
    }
  }

  /**
   * Counts a stream that HEADERS open.
   * @throws Http2Error when the client may not open it
   */
  use(id: number): void {
    if (id <= this.last) {
      // Streams that were passed over are closed too, but to open one now is another mistake.
      const reopened = this.used === (this.last + 1) / 2;
      throw new Http2Error(
        reopened ? ErrorCode.STREAM_CLOSED : ErrorCode.PROTOCOL_ERROR,
        `HEADERS for stream ${id} come after those of ${this.last}`,
      );
    }
    if (id % 2 === 0) throw new Http2Error(ErrorCode.PROTOCOL_ERROR, `a client cannot open stream ${id}`);
    this.last = id;
    this.used++;
  }

  /**
   * Streams that have not been opened can only be opened.
   * @throws Http2Error for another frame on one of them
   */
  requireUsed(what: string, id: number): void {
    if (id <= this.last && id % 2 === 1) return;
    throw new Http2Error(ErrorCode.PROTOCOL_ERROR, `${what} comes for stream ${id}, which is not open`);
  }
}
