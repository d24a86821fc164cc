import assert from 'node:assert/strict';
import { connect, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  Flag,
  FrameReader,
  FrameType,
  headersLength,
  HpackDecoder,
  HpackEncoder,
  PREFACE,
  settingsFrame,
  writeFrameHead,
  writeHeaders,
} from '../../src/protocol/http2/index.ts';

/** A frame from the server, its payload in whole. */
export interface SeenFrame {
  readonly type: number;
  readonly flags: number;
  readonly stream: number;
  readonly payload: Buffer;
}

const MAX_FRAME = 16_384;

/** An HTTP/2 client that sends what it is told to, right or wrong, and remembers what comes back. */
export class RawHttp2Client implements Disposable {
  readonly socket: Socket;
  readonly frames: SeenFrame[] = [];
  readonly encoder = new HpackEncoder();
  private readonly decoder = new HpackDecoder(1e6);
  private readonly reader: FrameReader;
  closed = false;

  private constructor(socket: Socket) {
    this.socket = socket;
    let head = { stream: 0, pieces: [] as Buffer[] };
    this.reader = new FrameReader(
      {
        frame: (type, flags, stream, payload) =>
          this.frames.push({ type, flags, stream, payload: Buffer.from(payload) }),
        dataHead: (stream) => (head = { stream, pieces: [] }),
        data: (piece) => head.pieces.push(Buffer.from(piece)),
        dataEnd: (ended) =>
          this.frames.push({
            type: FrameType.DATA,
            flags: ended ? Flag.END_STREAM : 0,
            stream: head.stream,
            payload: Buffer.concat(head.pieces),
          }),
      },
      2 ** 24,
    );
    socket.on('data', (chunk: Buffer) => this.reader.push(chunk));
    socket.on('close', () => (this.closed = true));
    socket.on('error', () => undefined);
  }

  /** A connection that nothing has been sent on. */
  static async connect(port: number): Promise<RawHttp2Client> {
    const socket = connect(port, '127.0.0.1');
    await new Promise((resolve) => socket.once('connect', resolve));
    return new RawHttp2Client(socket);
  }

  /** A connection that has begun. */
  static async open(port: number, settings: ReadonlyMap<number, number> = new Map()): Promise<RawHttp2Client> {
    const client = await RawHttp2Client.connect(port);
    client.send(PREFACE, settingsFrame(settings));
    await client.until(({ type, flags }) => type === FrameType.SETTINGS && flags === Flag.ACK);
    return client;
  }

  send(...frames: readonly Uint8Array[]): void {
    this.socket.write(Buffer.concat(frames));
  }

  /** HEADERS of a request, as gRPC clients send them. */
  request(stream: number, path: string, end: boolean, more: readonly string[] = []): Buffer {
    return this.headers(
      stream,
      [
        ':method',
        'POST',
        ':scheme',
        'http',
        ':path',
        path,
        ':authority',
        'x',
        'content-type',
        'application/grpc',
        ...more,
      ],
      end,
    );
  }

  headers(stream: number, fields: readonly string[], end: boolean): Buffer {
    const block = this.encoder.encode(fields);
    const bytes = Buffer.alloc(headersLength(block, MAX_FRAME));
    writeHeaders(bytes, 0, stream, block, end, MAX_FRAME);
    return bytes;
  }

  /** Waits for a frame. */
  async until(wanted: (frame: SeenFrame) => boolean, what = 'the frame'): Promise<SeenFrame> {
    for (let wait = 0; wait < 1000; wait++) {
      const frame = this.frames.find(wanted);
      if (frame) return frame;
      if (this.closed) break;
      await sleep(5);
    }
    const seen = this.frames.map(({ type, flags, stream, payload }) => `${type}/${flags}/${stream}/${payload.length}`);
    return assert.fail(`${what} did not come, but: ${seen.slice(-20).join(' ')}${this.closed ? ' and the end' : ''}`);
  }

  /** Waits for the last frame of a stream. */
  end(stream: number): Promise<SeenFrame> {
    return this.until(
      (frame) =>
        frame.stream === stream &&
        (frame.type === FrameType.RST_STREAM ||
          ((frame.type === FrameType.DATA || frame.type === FrameType.HEADERS) &&
            (frame.flags & Flag.END_STREAM) !== 0)),
      `the end of stream ${stream}`,
    );
  }

  /** Waits until the server ends the connection; returns the error code of its GOAWAY. */
  async ended(): Promise<number | undefined> {
    for (let wait = 0; wait < 1000 && !this.closed; wait++) await sleep(5);
    assert.ok(this.closed, 'the server did not end the connection');
    return this.frames.findLast(({ type }) => type === FrameType.GOAWAY)?.payload.readUInt32BE(4);
  }

  /** All of the body of a stream so far. */
  body(stream: number): Buffer {
    const parts = this.frames.filter((frame) => frame.stream === stream && frame.type === FrameType.DATA);
    return Buffer.concat(parts.map(({ payload }) => payload));
  }

  /** Decodes a header block; blocks must be decoded in the order in which they came. */
  fields(frame: SeenFrame): readonly string[] {
    return this.decoder.decode(frame.payload).fields;
  }

  [Symbol.dispose](): void {
    this.socket.destroy();
  }
}

/** A DATA frame. */
export function dataFrame(stream: number, body: Uint8Array, end: boolean): Buffer {
  const bytes = Buffer.alloc(9 + body.length);
  bytes.set(body, writeFrameHead(bytes, 0, body.length, FrameType.DATA, end ? Flag.END_STREAM : 0, stream));
  return bytes;
}

/** Any frame at all. */
export function anyFrame(type: number, flags: number, stream: number, payload: Uint8Array): Buffer {
  const bytes = Buffer.alloc(9 + payload.length);
  bytes.set(payload, writeFrameHead(bytes, 0, payload.length, type, flags, stream));
  return bytes;
}
