import { errorMessage, type Logger, type ServerError, systemClock, toServerError } from '../../../core/index.ts';
import type { GrpcCall, GrpcReceiver, GrpcService } from './call.ts';
import { type ConnectionLimits, ConnectionWatch } from './connection-limits.ts';
import { type Http2Stream, listenHttp2, type RequestHead, type StreamHandler, type TlsOptions } from './http2/index.ts';
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

export interface GrpcListener {
  readonly port: number;
  close(): Promise<void>;
}

const ACCEPT_ENCODING = 'identity, deflate, gzip';
const CONTENT_TYPE = 'application/grpc';

/** Heads of answers: the same objects each time, which saves encoding them again. */
const OK_HEAD = headOf([]);
const COMPRESSED_HEADS = {
  gzip: headOf(['grpc-encoding', 'gzip']),
  deflate: headOf(['grpc-encoding', 'deflate']),
} as const;

const OK_TRAILERS: readonly string[] = ['grpc-status', '0'];

const UNIMPLEMENTED = 12;

function headOf(more: readonly string[]): readonly string[] {
  return [':status', '200', 'content-type', CONTENT_TYPE, 'grpc-accept-encoding', ACCEPT_ENCODING, ...more];
}

/** Serves a gRPC service over HTTP/2, without a library in between. */
export async function listenGrpc(service: GrpcService, options: GrpcServerOptions): Promise<GrpcListener> {
  const { logger, connections } = options;
  return listenHttp2((connection) => {
    let watch: ConnectionWatch | undefined;
    // The first request, at the latest, is when there is something to watch.
    const watching = (): ConnectionWatch => (watch ??= new ConnectionWatch(connection(), connections));
    if (connections.keepaliveWithoutCalls || connections.maxAge > 0) queueMicrotask(watching);
    return {
      request(stream, head) {
        watching().called();
        return serve(service, options, stream, head);
      },
      pinged: () => watching().pinged(),
      broken: (error) => logger.verbose(1, `gRPC connection: ${errorMessage(error)}`),
      closed: () => watch?.stop(),
    };
  }, options);
}

function serve(
  service: GrpcService,
  options: GrpcServerOptions,
  stream: Http2Stream,
  head: RequestHead,
): StreamHandler {
  const refused = refusal(head);
  if (refused) return answerPlainly(stream, refused.status, refused.message);
  const call = new StreamCall(stream, head, compressionFor(options, head.headers));
  const receiver = service(head.path, call);
  if (!receiver) {
    call.finishWith(UNIMPLEMENTED, `unknown method '${head.path}'`);
    return IGNORE;
  }
  return new CallHandler(call, receiver, options.maxMessageBytes, head);
}

/** Requests that are no gRPC. */
function refusal({ method, headers }: RequestHead): { readonly status: number; readonly message: string } | undefined {
  if (method !== 'POST') return { status: 405, message: `gRPC calls are POST requests, not ${method}` };
  const type = headers.get('content-type');
  if (type?.startsWith(CONTENT_TYPE)) return undefined;
  return { status: 415, message: `gRPC calls are of type ${CONTENT_TYPE}${type ? `, not ${type}` : ''}` };
}

const IGNORE: StreamHandler = { data() {}, end() {}, closed() {} };

/** Answers what is no gRPC call, once all of it has come. */
function answerPlainly(stream: Http2Stream, status: number, message: string): StreamHandler {
  const body = Buffer.from(`${JSON.stringify({ error: message })}\n`);
  const head = [':status', String(status), 'content-type', 'application/json', 'content-length', String(body.length)];
  return { ...IGNORE, end: () => stream.finish(head, body, undefined) };
}

/** A call that is being served. */
class CallHandler implements StreamHandler {
  private readonly call: StreamCall;
  private readonly receiver: GrpcReceiver;
  private readonly reader: MessageReader;
  private readonly deadline: NodeJS.Timeout | undefined;

  constructor(call: StreamCall, receiver: GrpcReceiver, maxMessageBytes: number, { headers }: RequestHead) {
    this.call = call;
    this.receiver = receiver;
    const encoding = headers.get('grpc-encoding') ?? 'identity';
    this.reader = new MessageReader(maxMessageBytes, encoding, receiver);
    this.deadline = scheduleDeadline(headers.get('grpc-timeout'), call, receiver);
  }

  data(piece: Buffer): void {
    try {
      this.reader.push(piece);
    } catch (error) {
      this.call.finish(toServerError(error));
    }
  }

  end(): void {
    try {
      this.receiver.end();
    } catch (error) {
      this.call.finish(toServerError(error));
    }
  }

  closed(): void {
    clearTimeout(this.deadline);
    if (this.call.finished) return;
    this.call.finished = true;
    this.receiver.cancel();
  }
}

const TIMEOUT_UNITS: Readonly<Record<string, number>> = { H: 3.6e6, M: 6e4, S: 1e3, m: 1, u: 1e-3, n: 1e-6 };
const DEADLINE_EXCEEDED = 4;
const LONGEST_TIMER_MS = 2 ** 31 - 1;

/** Ends the call with DEADLINE_EXCEEDED when the client's `grpc-timeout` has passed. */
function scheduleDeadline(
  header: string | undefined,
  call: StreamCall,
  receiver: GrpcReceiver,
): NodeJS.Timeout | undefined {
  const match = header === undefined ? undefined : /^(\d{1,8})([HMSmun])$/.exec(header);
  if (!match) return undefined;
  const milliseconds = Number(match[1]) * (TIMEOUT_UNITS[match[2] ?? ''] ?? 1);
  if (milliseconds > LONGEST_TIMER_MS) return undefined;
  return setTimeout(() => {
    if (call.finished) return;
    call.finishWith(DEADLINE_EXCEEDED, 'Deadline Exceeded');
    receiver.cancel();
  }, milliseconds);
}

class StreamCall implements GrpcCall {
  private readonly stream: Http2Stream;
  private readonly metadata: ReadonlyMap<string, string>;
  private readonly compression: MessageCompression | undefined;
  readonly arrivedAt = systemClock.now();
  finished = false;

  constructor(stream: Http2Stream, head: RequestHead, compression: MessageCompression | undefined) {
    this.stream = stream;
    this.metadata = head.headers;
    this.compression = compression;
  }

  header(name: string): string | undefined {
    return this.metadata.get(name);
  }

  headers(): Iterable<readonly [string, string]> {
    return this.metadata;
  }

  send(frame: Uint8Array): void {
    if (this.finished) return;
    this.stream.respond(this.head);
    this.stream.write(this.packed(frame));
  }

  sendLast(frame: Uint8Array): void {
    if (this.finished) return;
    this.finished = true;
    this.stream.finish(this.head, this.packed(frame), OK_TRAILERS);
  }

  finish(error?: ServerError): void {
    if (error) this.finishWith(error.grpcStatus, error.message);
    else this.finishWith(0, '');
  }

  finishWith(status: number, message: string): void {
    if (this.finished) return;
    this.finished = true;
    const trailers = ['grpc-status', String(status)];
    if (message !== '') trailers.push('grpc-message', percentEncode(message));
    // A call that failed before it said anything is answered by trailers alone.
    if (this.stream.local === 'idle' && status !== 0) this.stream.respond([...OK_HEAD, ...trailers], true);
    else this.stream.finish(this.head, undefined, status === 0 ? OK_TRAILERS : trailers);
  }

  private get head(): readonly string[] {
    return this.compression ? COMPRESSED_HEADS[this.compression.encoding] : OK_HEAD;
  }

  private packed(frame: Uint8Array): Uint8Array {
    return this.compression ? compressFrame(frame, this.compression) : frame;
  }
}

/** `grpc-message` is percent-encoded UTF-8. */
function percentEncode(text: string): string {
  return text.replace(/[^\x20-\x24\x26-\x7e]/gu, (char) =>
    [...Buffer.from(char, 'utf8')].map((byte) => `%${byte.toString(16).toUpperCase().padStart(2, '0')}`).join(''),
  );
}
