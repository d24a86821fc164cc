import {
  DEFAULT_WINDOW,
  ErrorCode,
  Flag,
  FRAME_HEAD,
  FrameType,
  headersLength,
  HpackEncoder,
  Http2Error,
  MAX_WINDOW,
  windowUpdateFrame,
  writeFrameHead,
  writeHeaders,
} from '../../../../protocol/http2/index.ts';
import type { Output } from './output.ts';
import { DEFAULT_SETTINGS, type PeerSettings } from './peer-settings.ts';
import type { Http2Stream } from './stream.ts';

/** Longest DATA frame that is sent, however long the client takes them. */
const LONGEST_DATA = 256 * 1024;

/** What one stream sends before others get their turn. */
const TURN_BYTES = 256 * 1024;

/** Sends the answers of a connection's streams, as far as the client's windows and the socket allow. */
export class Sender {
  private readonly output: Output;
  private readonly encoder = new HpackEncoder();
  private peer: PeerSettings = DEFAULT_SETTINGS;
  private window = DEFAULT_WINDOW;
  /** Streams with something to send that wait for the socket or for the window of the connection. */
  private readonly waiting = new Set<Http2Stream>();
  private readonly onSent: (stream: Http2Stream) => void;

  /** @param onSent called when all of a stream's answer has been sent */
  constructor(output: Output, onSent: (stream: Http2Stream) => void) {
    this.output = output;
    this.onSent = onSent;
  }

  /** Bytes that a new stream may send. */
  get initialWindow(): number {
    return this.peer.window;
  }

  get settings(): PeerSettings {
    return this.peer;
  }

  /** @throws Http2Error when a stream's window becomes too large */
  adopt(settings: PeerSettings, streams: Iterable<Http2Stream>): void {
    const grown = settings.window - this.peer.window;
    if (settings.tableBytes !== this.peer.tableBytes) this.encoder.limitTable(settings.tableBytes);
    this.peer = settings;
    if (grown === 0) return;
    for (const stream of streams) {
      widen(stream, grown);
      if (stream.queue.length > 0 && stream.sendWindow > 0) this.waiting.add(stream);
    }
    this.resume();
  }

  /** @throws Http2Error when the window becomes too large */
  widenConnection(increment: number): void {
    this.window += increment;
    if (this.window > MAX_WINDOW) throw tooWide();
    this.resume();
  }

  /** @throws Http2Error when the window becomes too large */
  widenStream(stream: Http2Stream, increment: number): void {
    widen(stream, increment);
    this.sendData(stream);
  }

  headers(stream: Http2Stream, fields: readonly string[], end: boolean): void {
    const block = this.encoder.encode(fields);
    const bytes = Buffer.allocUnsafe(headersLength(block, this.peer.maxFrame));
    writeHeaders(bytes, 0, stream.id, block, end, this.peer.maxFrame);
    this.output.write(bytes);
  }

  /** Writes a whole answer into one buffer; `false` when it may not be sent as a whole now. */
  whole(
    stream: Http2Stream,
    head: readonly string[] | undefined,
    body: Uint8Array,
    trailers: readonly string[] | undefined,
  ): boolean {
    if (body.length > this.window || body.length > stream.sendWindow || this.output.congested) return false;
    const { id } = stream;
    const { maxFrame } = this.peer;
    // In the order in which they are sent: the second may refer to what the first adds to the table.
    const headBlock = head && this.encoder.encode(head);
    const endBlock = trailers && this.encoder.encode(trailers);
    const headBytes = headBlock ? headersLength(headBlock, maxFrame) : 0;
    const endBytes = endBlock ? headersLength(endBlock, maxFrame) : 0;
    const bytes = Buffer.allocUnsafe(headBytes + FRAME_HEAD + body.length + endBytes);
    let at = headBlock ? writeHeaders(bytes, 0, id, headBlock, false, maxFrame) : 0;
    at = writeFrameHead(bytes, at, body.length, FrameType.DATA, endBlock ? 0 : Flag.END_STREAM, id);
    bytes.set(body, at);
    if (endBlock) writeHeaders(bytes, at + body.length, id, endBlock, true, maxFrame);
    this.window -= body.length;
    stream.sendWindow -= body.length;
    this.output.write(bytes);
    return true;
  }

  /** Sends what may be sent of a stream's answer; the rest waits. */
  sendData(stream: Http2Stream): void {
    if (stream.closed) return;
    this.sendSome(stream, Number.POSITIVE_INFINITY);
  }

  /** Lets the client send so many more bytes on a stream. */
  allow(stream: Http2Stream, bytes: number): void {
    this.output.write(windowUpdateFrame(stream.id, bytes));
  }

  /** Goes on with the streams that wait, each in its turn. */
  resume(): void {
    let moved = true;
    while (moved && this.waiting.size > 0) {
      moved = false;
      for (const stream of Array.from(this.waiting)) {
        if (this.output.congested) return;
        if (this.window <= 0) return;
        moved = this.sendSome(stream, TURN_BYTES) > 0 || moved;
      }
    }
  }

  forget(stream: Http2Stream): void {
    this.waiting.delete(stream);
  }

  /** @returns how many bytes went out */
  private sendSome(stream: Http2Stream, most: number): number {
    const { queue } = stream;
    let sent = 0;
    while (queue.length > 0 && sent < most && !this.output.congested) {
      const [part] = queue;
      const room = Math.min(this.window, stream.sendWindow, this.peer.maxFrame, LONGEST_DATA);
      if (!part || (room <= 0 && part.length > 0)) break;
      const piece = part.length <= room ? part : part.subarray(0, room);
      if (piece.length === part.length) queue.shift();
      else queue[0] = part.subarray(piece.length);
      const last = queue.length === 0 && stream.local === 'ending' && !stream.trailers;
      this.sendPiece(stream, piece, last);
      sent += piece.length;
    }
    this.waiting.delete(stream);
    if (queue.length > 0) {
      // A stream whose own window is used up is gone on with when that grows.
      if (stream.sendWindow > 0) this.waiting.add(stream);
    } else if (stream.local === 'ending') {
      stream.local = 'ended';
      if (stream.trailers) this.headers(stream, stream.trailers, true);
      this.onSent(stream);
      return sent;
    }
    stream.allowMore();
    return sent;
  }

  private sendPiece(stream: Http2Stream, piece: Uint8Array, last: boolean): void {
    const head = Buffer.allocUnsafe(FRAME_HEAD);
    writeFrameHead(head, 0, piece.length, FrameType.DATA, last ? Flag.END_STREAM : 0, stream.id);
    this.output.write(head);
    this.output.write(piece);
    this.window -= piece.length;
    stream.sendWindow -= piece.length;
    stream.unsent -= piece.length;
  }
}

function widen(stream: Http2Stream, increment: number): void {
  stream.sendWindow += increment;
  if (stream.sendWindow > MAX_WINDOW) throw tooWide();
}

function tooWide(): Http2Error {
  return new Http2Error(ErrorCode.FLOW_CONTROL_ERROR, `a window has become larger than ${MAX_WINDOW} bytes`);
}
