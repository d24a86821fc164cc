import { ErrorCode, Http2Error, PREFACE } from '../../../../protocol/http2/index.ts';

const BODY = '{"error":"this port speaks gRPC, which is HTTP/2: HTTP/1.1 requests go to the HTTP port"}';

/** For someone who took this for the HTTP endpoint. */
const HTTP1_ANSWER =
  `HTTP/1.1 400 Bad Request\r\nContent-Type: application/json\r\nContent-Length: ${BODY.length}\r\n` +
  `Connection: close\r\n\r\n${BODY}`;

/** How a connection that does not begin as HTTP/2 does is answered before it is closed. */
export class PrefaceError extends Http2Error {
  /** The whole answer; `undefined` when the client would not understand any. */
  readonly answer: string | undefined;

  constructor(answer: string | undefined) {
    super(ErrorCode.PROTOCOL_ERROR, 'the connection does not begin as HTTP/2 does');
    this.answer = answer;
  }
}

/** Reads what a client sends before its first frame. */
export class PrefaceReader {
  private seen: Buffer = Buffer.alloc(0);

  /**
   * @returns what follows the preface; `undefined` while it is incomplete
   * @throws PrefaceError
   */
  push(chunk: Buffer): Buffer | undefined {
    const bytes = Buffer.concat([this.seen, chunk]);
    const length = Math.min(bytes.length, PREFACE.length);
    if (bytes.compare(PREFACE, 0, length, 0, length) !== 0) {
      const http1 = /^[A-Z]+ \S+ HTTP\/1/.test(bytes.toString('latin1', 0, 1024));
      throw new PrefaceError(http1 ? HTTP1_ANSWER : undefined);
    }
    if (length === PREFACE.length) return bytes.subarray(length);
    this.seen = bytes;
    return undefined;
  }
}
