import {
  constants,
  createSecureServer,
  createServer,
  type Http2SecureServer,
  type Http2Server,
  type IncomingHttpHeaders,
  type ServerHttp2Session,
  type ServerHttp2Stream,
} from 'node:http2';
import { errorMessage, type Logger, type ServerError, systemClock, toServerError } from '../../../core/index.ts';
import { listen } from '../listen.ts';
import type { GrpcCall, GrpcReceiver, GrpcService } from './call.ts';
import { type ConnectionLimits, ConnectionWatch } from './connection-limits.ts';
import { compressFrame, compressionFor, type MessageCompression } from './message-compression.ts';
import { MessageReader } from './message-reader.ts';

export interface GrpcServerOptions {
  readonly host: string;
  readonly port: number;
  /** Longest message taken from a client. */
  readonly maxMessageBytes: number;
  /** zlib level of answers to clients that take compressed ones; 0 sends them as they are. */
  readonly compressionLevel: number;
  /** Serve over TLS. */
  readonly tls: TlsOptions | undefined;
  readonly connections: ConnectionLimits;
  /** Other processes may listen on the same port. */
  readonly reusePort: boolean;
  readonly logger: Logger;
}

/** PEM texts. */
export interface TlsOptions {
  readonly cert: Buffer;
  readonly key: Buffer;
  /** The authorities that clients' certificates come from, when clients must have one. */
  readonly clientAuthorities: Buffer | undefined;
}

export interface GrpcListener {
  readonly port: number;
  close(): Promise<void>;
}

/** Large windows: tensors of megabytes must not wait for round trips. */
const STREAM_WINDOW = 4 * 1024 * 1024;
const CONNECTION_WINDOW = 16 * 1024 * 1024;

const OK_HEADERS = {
  [constants.HTTP2_HEADER_STATUS]: 200,
  [constants.HTTP2_HEADER_CONTENT_TYPE]: 'application/grpc',
  'grpc-accept-encoding': 'identity, deflate, gzip',
};

/** Bytes of answers that a stream may leave unread before its requests wait. */
const MAX_UNREAD_BYTES = 4 * 1024 * 1024;

/** Bytes of answers beyond which a stream whose client does not read is given up. */
const MAX_UNSENT_BYTES = 256 * 1024 * 1024;

const OK_TRAILERS = { 'grpc-status': '0' };

const NO_DATE = { waitForTrailers: true, sendDate: false };
const UNIMPLEMENTED = 12;

/** Serves a gRPC service with Node's own HTTP/2, without a gRPC library in between. */
export async function listenGrpc(service: GrpcService, options: GrpcServerOptions): Promise<GrpcListener> {
  const server = createHttp2(options);
  const sessions = new Set<ServerHttp2Session>();
  server.on('session', (session) => {
    sessions.add(session);
    session.on('close', () => sessions.delete(session));
    session.on('error', (error: unknown) => options.logger.verbose(1, `HTTP/2 session: ${errorMessage(error)}`));
    session.setLocalWindowSize(CONNECTION_WINDOW);
    const watch = new ConnectionWatch(session, options.connections);
    session.on('stream', (stream: ServerHttp2Stream, headers: IncomingHttpHeaders) =>
      serve(service, options, watch, stream, headers),
    );
  });
  server.on('sessionError', () => undefined);
  const port = await listen(server, options.host, options.port, options.reusePort);
  return {
    port,
    close: () => closeServer(server, sessions),
  };
}

function createHttp2({ tls }: GrpcServerOptions): Http2Server | Http2SecureServer {
  const common = {
    settings: { initialWindowSize: STREAM_WINDOW, maxConcurrentStreams: 65_536 },
    maxSessionMemory: 256,
  };
  if (!tls) return createServer(common);
  const { cert, key, clientAuthorities } = tls;
  return createSecureServer({
    ...common,
    cert,
    key,
    allowHTTP1: false,
    ...(clientAuthorities ? { ca: clientAuthorities, requestCert: true, rejectUnauthorized: true } : {}),
  });
}

async function closeServer(
  server: Http2Server | Http2SecureServer,
  sessions: ReadonlySet<ServerHttp2Session>,
): Promise<void> {
  const closed = new Promise<void>((resolve) => server.close(() => resolve()));
  for (const session of sessions) session.close();
  const timer = setTimeout(() => {
    for (const session of sessions) session.destroy();
  }, 2_000);
  await closed;
  clearTimeout(timer);
}

function serve(
  service: GrpcService,
  options: GrpcServerOptions,
  watch: ConnectionWatch,
  stream: ServerHttp2Stream,
  headers: IncomingHttpHeaders,
): void {
  stream.on('error', (error: unknown) => options.logger.verbose(1, `gRPC stream: ${errorMessage(error)}`));
  if (headers[':method'] !== 'POST') {
    stream.respond({ ':status': 405 }, { endStream: true });
    return;
  }
  const contentType = headers['content-type'] ?? '';
  if (!contentType.startsWith('application/grpc')) {
    stream.respond({ ':status': 415 }, { endStream: true });
    return;
  }
  const call = new StreamCall(stream, headers, compressionFor(options, headers));
  const receiver = service(headers[':path'] ?? '', call);
  if (!receiver) {
    call.finishWith(UNIMPLEMENTED, `unknown method '${headers[':path'] ?? ''}'`);
    stream.resume();
    return;
  }
  watch.calls++;
  const encoding = String(headers['grpc-encoding'] ?? 'identity');
  const reader = new MessageReader(options.maxMessageBytes, encoding, (message) => receiver.message(message));
  const guarded = (work: () => void): void => {
    try {
      work();
    } catch (error) {
      call.finish(toServerError(error));
    }
  };
  stream.on('data', (chunk: Buffer) => guarded(() => reader.push(chunk)));
  stream.on('end', () => guarded(() => receiver.end()));
  stream.on('close', () => {
    watch.calls--;
    if (!call.finished) cancelOnce(call, receiver);
  });
  stream.on('aborted', () => cancelOnce(call, receiver));
  scheduleDeadline(headers['grpc-timeout'], call, receiver, stream);
}

function cancelOnce(call: StreamCall, receiver: GrpcReceiver): void {
  if (call.finished) return;
  call.finished = true;
  receiver.cancel();
}

const TIMEOUT_UNITS: Readonly<Record<string, number>> = { H: 3.6e6, M: 6e4, S: 1e3, m: 1, u: 1e-3, n: 1e-6 };
const DEADLINE_EXCEEDED = 4;
const LONGEST_TIMER_MS = 2 ** 31 - 1;

/** Ends the call with DEADLINE_EXCEEDED when the client's `grpc-timeout` has passed. */
function scheduleDeadline(
  header: string | string[] | undefined,
  call: StreamCall,
  receiver: GrpcReceiver,
  stream: ServerHttp2Stream,
): void {
  const match = /^(\d{1,8})([HMSmun])$/.exec(String(header ?? ''));
  if (!match) return;
  const milliseconds = Number(match[1]) * (TIMEOUT_UNITS[match[2] ?? ''] ?? 1);
  if (milliseconds > LONGEST_TIMER_MS) return;
  const timer = setTimeout(() => {
    if (call.finished) return;
    call.finishWith(DEADLINE_EXCEEDED, 'Deadline Exceeded');
    receiver.cancel();
  }, milliseconds);
  stream.on('close', () => clearTimeout(timer));
}

class StreamCall implements GrpcCall {
  private readonly stream: ServerHttp2Stream;
  private readonly metadata: IncomingHttpHeaders;
  private readonly compression: MessageCompression | undefined;
  readonly arrivedAt = systemClock.now();
  finished = false;

  constructor(stream: ServerHttp2Stream, metadata: IncomingHttpHeaders, compression: MessageCompression | undefined) {
    this.stream = stream;
    this.metadata = metadata;
    this.compression = compression;
  }

  header(name: string): string | undefined {
    const value = this.metadata[name];
    return Array.isArray(value) ? value.join(', ') : value;
  }

  *headers(): Iterable<readonly [string, string]> {
    for (const name of Object.keys(this.metadata)) {
      if (!name.startsWith(':')) yield [name, this.header(name) ?? ''];
    }
  }

  send(frame: Uint8Array): void {
    if (this.finished || this.stream.destroyed) return;
    this.open();
    this.stream.write(this.compression ? compressFrame(frame, this.compression) : frame);
    if (this.stream.writableLength > MAX_UNSENT_BYTES) {
      this.stream.close(constants.NGHTTP2_ENHANCE_YOUR_CALM);
      return;
    }
    if (this.stream.writableLength < MAX_UNREAD_BYTES || this.stream.isPaused()) return;
    // A client that does not read its answers is not read from either.
    this.stream.pause();
    this.stream.once('drain', () => this.stream.resume());
  }

  sendLast(frame: Uint8Array): void {
    if (this.finished || this.stream.destroyed) return;
    this.finished = true;
    this.open();
    this.stream.once('wantTrailers', () => this.stream.sendTrailers(OK_TRAILERS));
    this.stream.end(this.compression ? compressFrame(frame, this.compression) : frame);
  }

  finish(error?: ServerError): void {
    if (error) this.finishWith(error.grpcStatus, error.message);
    else this.finishWith(0, '');
  }

  finishWith(status: number, message: string): void {
    if (this.finished || this.stream.destroyed) return;
    this.finished = true;
    const trailers = { 'grpc-status': status, ...(message === '' ? {} : { 'grpc-message': percentEncode(message) }) };
    if (!this.stream.headersSent && status !== 0) {
      this.stream.respond({ ...OK_HEADERS, ...trailers }, { endStream: true });
      return;
    }
    this.open();
    this.stream.once('wantTrailers', () => this.stream.sendTrailers(trailers));
    this.stream.end();
  }

  private open(): void {
    if (this.stream.headersSent) return;
    const { compression } = this;
    this.stream.respond(compression ? { ...OK_HEADERS, 'grpc-encoding': compression.encoding } : OK_HEADERS, NO_DATE);
  }
}

/** `grpc-message` is percent-encoded UTF-8. */
function percentEncode(text: string): string {
  return text.replace(/[^\x20-\x24\x26-\x7e]/gu, (char) =>
    [...Buffer.from(char, 'utf8')].map((byte) => `%${byte.toString(16).toUpperCase().padStart(2, '0')}`).join(''),
  );
}
