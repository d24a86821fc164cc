import type { Socket } from 'node:net';
import {
  DEFAULT_MAX_FRAME,
  DEFAULT_WINDOW,
  ErrorCode,
  Flag,
  FRAME_HEAD,
  FrameReader,
  type FrameSink,
  FrameType,
  headersLength,
  HpackDecoder,
  HpackEncoder,
  MAX_WINDOW,
  pingFrame,
  PREFACE,
  resetFrame,
  Setting,
  settingsAck,
  settingsFrame,
  windowUpdateFrame,
  writeFrameHead,
  writeHeaders,
} from '../protocol/http2/index.ts';
import { ClientError } from './client-error.ts';
import { type Endpoint, openSocket } from './endpoint.ts';

/** What comes of a stream. */
export interface StreamEvents {
  /** A header block: the head of the answer or, with `end`, its trailers. Names and values in turn. */
  headers(fields: readonly string[], end: boolean): void;
  /** A piece of the body; good until the call returns. */
  data(piece: Buffer): void;
  /** The other side has ended the stream. */
  end(): void;
  failed(error: ClientError): void;
}

/** A stream that this side has opened. */
export interface ClientStream {
  readonly id: number;
}

interface OpenStream extends ClientStream {
  readonly events: StreamEvents;
  sendWindow: number;
  queue: Uint8Array[];
  /** This side has nothing more to say once the queue is empty. */
  ending: boolean;
  localEnded: boolean;
  /** Bytes read since the server was told to send more. */
  read: number;
}

const STREAM_WINDOW = 16 * 1024 * 1024;
const CONNECTION_WINDOW = 64 * 1024 * 1024;
const MAX_HEADER_BYTES = 256 * 1024;

/** Up to this many bytes of frames are put together into one write. */
const JOIN_BYTES = 64 * 1024;

/** An HTTP/2 connection (RFC 9113), the client's side. */
export class Http2ClientConnection implements FrameSink {
  private readonly socket: Socket;
  private readonly endpoint: Endpoint;
  private readonly encoder = new HpackEncoder();
  private readonly decoder = new HpackDecoder(MAX_HEADER_BYTES);
  private readonly streams = new Map<number, OpenStream>();
  private nextStream = 1;
  private sendWindow = DEFAULT_WINDOW;
  private initialWindow = DEFAULT_WINDOW;
  private maxFrame = DEFAULT_MAX_FRAME;
  private maxStreams = 100;
  private connectionRead = 0;
  private reading: OpenStream | undefined;
  private block: { readonly stream: number; readonly end: boolean; readonly parts: Buffer[] } | undefined;
  private output: Uint8Array[] = [];
  private outputBytes = 0;
  private held = false;
  private scheduled = false;
  private state: 'open' | 'draining' | 'closed' = 'open';

  private constructor(endpoint: Endpoint, socket: Socket) {
    this.endpoint = endpoint;
    this.socket = socket;
    socket.on('error', (error) => this.broke(error.message));
    socket.on('close', () => this.broke('the server closed the connection'));
    const settings = new Map<number, number>([
      [Setting.ENABLE_PUSH, 0],
      [Setting.INITIAL_WINDOW_SIZE, STREAM_WINDOW],
    ]);
    this.write(PREFACE);
    this.write(settingsFrame(settings));
    this.write(windowUpdateFrame(0, CONNECTION_WINDOW - DEFAULT_WINDOW));
  }

  /** @throws ClientError */
  static async connect(endpoint: Endpoint): Promise<Http2ClientConnection> {
    let connection: Http2ClientConnection | undefined;
    let reader: FrameReader | undefined;
    const socket = await openSocket(endpoint, 'h2', (bytes) => {
      if (!connection || !reader) return;
      connection.held = true;
      try {
        reader.push(bytes);
      } catch (error) {
        connection.broke(error instanceof Error ? error.message : String(error));
      }
      connection.held = false;
      connection.flush();
    });
    connection = new Http2ClientConnection(endpoint, socket);
    reader = new FrameReader(connection, 2 ** 24 - 1);
    return connection;
  }

  /** Whether a stream may be opened. */
  get usable(): boolean {
    return this.state === 'open' && this.streams.size < this.maxStreams && this.nextStream < MAX_WINDOW - 2;
  }

  get closed(): boolean {
    return this.state !== 'open';
  }

  get active(): number {
    return this.streams.size;
  }

  /** Opens a stream with a head and, when there is one, a body; `end` says that nothing follows. */
  open(fields: readonly string[], body: Uint8Array | undefined, end: boolean, events: StreamEvents): ClientStream {
    const stream: OpenStream = {
      id: this.nextStream,
      events,
      sendWindow: this.initialWindow,
      queue: [],
      ending: false,
      localEnded: false,
      read: 0,
    };
    this.nextStream += 2;
    this.streams.set(stream.id, stream);
    const block = this.encoder.encode(fields);
    const fits = body && end && body.length <= Math.min(this.sendWindow, stream.sendWindow, DEFAULT_MAX_FRAME);
    const headBytes = headersLength(block, this.maxFrame);
    if (fits) {
      const bytes = Buffer.allocUnsafe(headBytes + FRAME_HEAD + body.length);
      let at = writeHeaders(bytes, 0, stream.id, block, false, this.maxFrame);
      at = writeFrameHead(bytes, at, body.length, FrameType.DATA, Flag.END_STREAM, stream.id);
      bytes.set(body, at);
      this.sendWindow -= body.length;
      stream.localEnded = true;
      this.write(bytes);
      return stream;
    }
    const head = Buffer.allocUnsafe(headBytes);
    writeHeaders(head, 0, stream.id, block, end && !body, this.maxFrame);
    stream.localEnded = end && !body;
    this.write(head);
    if (body) this.send(stream, body, end);
    return stream;
  }

  /** Sends more on an open stream. */
  send(stream: ClientStream, body: Uint8Array, end: boolean): void {
    const open = this.streams.get(stream.id);
    if (!open || open.ending) return;
    if (body.length > 0) open.queue.push(body);
    open.ending = end;
    this.sendQueued(open);
  }

  /** Gives a stream up. Nothing more is told of it. */
  cancel(stream: ClientStream): void {
    if (!this.streams.delete(stream.id)) return;
    this.write(resetFrame(stream.id, ErrorCode.CANCEL));
  }

  close(): void {
    this.state = 'closed';
    this.streams.clear();
    this.socket.destroy();
  }

  // Frames from the server.

  frame(type: number, flags: number, id: number, payload: Buffer): void {
    switch (type) {
      case FrameType.HEADERS: {
        const padded = (flags & Flag.PADDED) !== 0;
        const start = (padded ? 1 : 0) + ((flags & Flag.PRIORITY) === 0 ? 0 : 5);
        const fragment = payload.subarray(start, payload.length - (padded ? (payload[0] ?? 0) : 0));
        const end = (flags & Flag.END_STREAM) !== 0;
        if (flags & Flag.END_HEADERS) this.headers(id, end, fragment);
        else this.block = { stream: id, end, parts: [Buffer.from(fragment)] };
        return;
      }
      case FrameType.CONTINUATION: {
        const { block } = this;
        if (!block) throw new ClientError('protocol', 'the server sent CONTINUATION without HEADERS');
        block.parts.push(Buffer.from(payload));
        if (!(flags & Flag.END_HEADERS)) return;
        this.block = undefined;
        this.headers(block.stream, block.end, Buffer.concat(block.parts));
        return;
      }
      case FrameType.RST_STREAM: {
        const code = payload.readUInt32BE();
        this.fail(id, new ClientError('closed', `the server gave the request up (HTTP/2 error ${code})`));
        return;
      }
      case FrameType.SETTINGS:
        if (!(flags & Flag.ACK)) this.settings(payload);
        return;
      case FrameType.PING:
        if (!(flags & Flag.ACK)) this.write(pingFrame(payload, true));
        return;
      case FrameType.WINDOW_UPDATE:
        this.windowUpdate(id, payload.readUInt32BE() & MAX_WINDOW);
        return;
      case FrameType.GOAWAY:
        this.goaway(payload);
        return;
    }
  }

  dataHead(id: number, length: number): void {
    this.connectionRead += length;
    if (this.connectionRead >= CONNECTION_WINDOW / 4) {
      this.write(windowUpdateFrame(0, this.connectionRead));
      this.connectionRead = 0;
    }
    this.reading = this.streams.get(id);
    if (!this.reading) return;
    this.reading.read += length;
    if (this.reading.read < STREAM_WINDOW / 4) return;
    this.write(windowUpdateFrame(id, this.reading.read));
    this.reading.read = 0;
  }

  data(piece: Buffer): void {
    this.reading?.events.data(piece);
  }

  dataEnd(ended: boolean): void {
    const { reading } = this;
    this.reading = undefined;
    if (reading && ended) this.remoteEnded(reading);
  }

  private headers(id: number, end: boolean, block: Buffer): void {
    const { fields } = this.decoder.decode(block);
    const stream = this.streams.get(id);
    if (!stream) return;
    stream.events.headers(fields, end);
    if (end) this.remoteEnded(stream);
  }

  private remoteEnded(stream: OpenStream): void {
    if (!this.streams.delete(stream.id)) return;
    if (!stream.localEnded) this.write(resetFrame(stream.id, ErrorCode.CANCEL));
    stream.events.end();
  }

  private settings(payload: Buffer): void {
    for (let offset = 0; offset + 6 <= payload.length; offset += 6) {
      const value = payload.readUInt32BE(offset + 2);
      switch (payload.readUInt16BE(offset)) {
        case Setting.HEADER_TABLE_SIZE:
          this.encoder.limitTable(value);
          break;
        case Setting.INITIAL_WINDOW_SIZE: {
          const grown = value - this.initialWindow;
          this.initialWindow = value;
          for (const stream of this.streams.values()) stream.sendWindow += grown;
          break;
        }
        case Setting.MAX_FRAME_SIZE:
          this.maxFrame = value;
          break;
        case Setting.MAX_CONCURRENT_STREAMS:
          this.maxStreams = value;
          break;
      }
    }
    this.write(settingsAck());
    for (const stream of this.streams.values()) this.sendQueued(stream);
  }

  private windowUpdate(id: number, increment: number): void {
    if (id === 0) {
      this.sendWindow += increment;
      for (const stream of this.streams.values()) this.sendQueued(stream);
      return;
    }
    const stream = this.streams.get(id);
    if (!stream) return;
    stream.sendWindow += increment;
    this.sendQueued(stream);
  }

  private goaway(payload: Buffer): void {
    const last = payload.readUInt32BE();
    if (this.state === 'open') this.state = 'draining';
    const text = payload.toString('latin1', 8);
    const error = new ClientError(
      'closed',
      `the server takes no more requests on this connection${text ? `: ${text}` : ''}`,
    );
    for (const id of this.streams.keys()) if (id > last) this.fail(id, error);
  }

  private fail(id: number, error: ClientError): void {
    const stream = this.streams.get(id);
    if (!stream) return;
    this.streams.delete(id);
    stream.events.failed(error);
  }

  private broke(reason: string): void {
    if (this.state === 'closed') return;
    this.state = 'closed';
    const { host, port } = this.endpoint;
    const error = new ClientError('closed', `the connection to ${host}:${port} broke: ${reason}`);
    for (const id of this.streams.keys()) this.fail(id, error);
    this.socket.destroy();
  }

  // What this side sends.

  private sendQueued(stream: OpenStream): void {
    const { queue } = stream;
    while (queue.length > 0) {
      const [part] = queue;
      const room = Math.min(this.sendWindow, stream.sendWindow, this.maxFrame);
      if (!part || room <= 0) return;
      const piece = part.length <= room ? part : part.subarray(0, room);
      if (piece.length === part.length) queue.shift();
      else queue[0] = part.subarray(piece.length);
      const last = stream.ending && queue.length === 0;
      const head = Buffer.allocUnsafe(FRAME_HEAD);
      writeFrameHead(head, 0, piece.length, FrameType.DATA, last ? Flag.END_STREAM : 0, stream.id);
      this.sendWindow -= piece.length;
      stream.sendWindow -= piece.length;
      if (last) stream.localEnded = true;
      this.write(head);
      this.write(piece);
    }
    if (!stream.ending || stream.localEnded) return;
    const head = Buffer.allocUnsafe(FRAME_HEAD);
    writeFrameHead(head, 0, 0, FrameType.DATA, Flag.END_STREAM, stream.id);
    stream.localEnded = true;
    this.write(head);
  }

  private write(bytes: Uint8Array): void {
    this.output.push(bytes);
    this.outputBytes += bytes.length;
    if (this.held || this.scheduled) return;
    this.scheduled = true;
    process.nextTick(() => {
      this.scheduled = false;
      this.flush();
    });
  }

  private flush(): void {
    const { output, outputBytes, socket } = this;
    if (outputBytes === 0 || !socket.writable) return;
    this.output = [];
    this.outputBytes = 0;
    if (output.length === 1) socket.write(output[0] ?? '');
    else if (outputBytes <= JOIN_BYTES) socket.write(Buffer.concat(output, outputBytes));
    else {
      socket.cork();
      for (const part of output) socket.write(part);
      socket.uncork();
    }
  }
}
