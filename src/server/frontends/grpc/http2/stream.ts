import { DEFAULT_MAX_FRAME, ErrorCode } from '../../../../protocol/http2/index.ts';
import { ReceiveWindow } from './receive-window.ts';
import type { Sender } from './sender.ts';

/** Bytes that a client may send on a stream before it is told that it may send more. */
export const STREAM_WINDOW = 4 * 1024 * 1024;

/** Bytes of answers that a client may leave unread before its requests wait. */
const MAX_UNREAD_BYTES = 4 * 1024 * 1024;

/** Bytes of answers beyond which a stream whose client does not read is given up. */
const MAX_UNSENT_BYTES = 256 * 1024 * 1024;

/** What is done with the bytes of a stream. */
export interface StreamHandler {
  /** A piece of the body; its bytes are written over once this returns. */
  data(piece: Buffer): void;
  /** The client has sent all of its body. */
  end(): void;
  /** The stream is over; `answered` says whether the whole answer has been handed over for sending. */
  closed(answered: boolean): void;
}

/** What a stream needs of its connection. */
export interface StreamHost {
  readonly sender: Sender;
  reset(stream: Http2Stream, code: ErrorCode): void;
  /** Both sides have ended the stream, or this one has said all it had to say. */
  ended(stream: Http2Stream): void;
}

/** One request and its answer. */
export class Http2Stream {
  readonly id: number;
  private readonly host: StreamHost;
  handler: StreamHandler | undefined;
  /** What the client may still say, and what the server. */
  remote: 'open' | 'ending' | 'ended' = 'open';
  local: 'idle' | 'open' | 'ending' | 'ended' = 'idle';
  closed = false;
  /** Bytes that may be sent now. */
  sendWindow: number;
  readonly receiveWindow = new ReceiveWindow(STREAM_WINDOW);
  /** Bytes of the body so far, and those that the client announced. */
  received = 0;
  readonly announced: number | undefined;
  /** Answers that wait to be sent. */
  readonly queue: Uint8Array[] = [];
  unsent = 0;
  trailers: readonly string[] | undefined;

  constructor(id: number, host: StreamHost, sendWindow: number, announced: number | undefined) {
    this.id = id;
    this.host = host;
    this.sendWindow = sendWindow;
    this.announced = announced;
  }

  /** Sends the head of the answer; with `end` it is all of it. */
  respond(fields: readonly string[], end = false): void {
    if (this.closed || this.local !== 'idle') return;
    this.local = end ? 'ended' : 'open';
    this.host.sender.headers(this, fields, end);
    if (end) this.host.ended(this);
  }

  /** @param bytes must stay as they are until they have been sent */
  write(bytes: Uint8Array): void {
    if (this.closed || this.local !== 'open') return;
    this.queue.push(bytes);
    this.unsent += bytes.length;
    this.host.sender.sendData(this);
    if (this.unsent > MAX_UNSENT_BYTES) this.host.reset(this, ErrorCode.ENHANCE_YOUR_CALM);
  }

  /** Ends the answer with the last of its body and trailers; `head` opens it when that was not done before. */
  finish(head: readonly string[], body: Uint8Array | undefined, trailers: readonly string[] | undefined): void {
    if (this.closed || this.local === 'ending' || this.local === 'ended') return;
    const opening = this.local === 'idle' ? head : undefined;
    if (body && body.length <= DEFAULT_MAX_FRAME && this.queue.length === 0) {
      if (this.host.sender.whole(this, opening, body, trailers)) {
        this.local = 'ended';
        this.host.ended(this);
        return;
      }
    }
    if (opening) this.host.sender.headers(this, opening, false);
    this.local = 'ending';
    this.trailers = trailers;
    if (body) {
      this.queue.push(body);
      this.unsent += body.length;
    }
    this.host.sender.sendData(this);
  }

  /** Lets the client send more, unless it leaves its answers unread. */
  allowMore(): void {
    if (this.remote !== 'open' || this.unsent >= MAX_UNREAD_BYTES) return;
    const more = this.receiveWindow.refill();
    if (more > 0) this.host.sender.allow(this, more);
  }
}
