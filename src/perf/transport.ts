import { fromBinary } from '@bufbuild/protobuf';
import {
  ClientError,
  type ClientStream,
  type Endpoint,
  errorText,
  type ExtraHeaders,
  GrpcAnswer,
  grpcHeaders,
  Http1Connection,
  Http2ClientConnection,
  SERVICE,
} from '../client/index.ts';
import { ModelStreamInferResponseSchema } from '../protocol/generated/grpc_service_pb.js';

/** What comes of one request. */
export interface ReplySink {
  /** The first bytes have come. */
  began(): void;
  /** One response; good until the call returns. For HTTP the body, for gRPC the message. */
  response(body: Buffer): void;
  /** All responses have come. */
  done(): void;
  failed(error: ClientError): void;
}

/** Carries requests to the server. A slot has one request at a time. */
export interface InferTransport {
  /** Opens what the first so many slots need. @throws ClientError */
  open(slots: number): Promise<void>;
  infer(slot: number, parts: readonly Uint8Array[], sink: ReplySink): void;
  close(): void;
}

/** HTTP: every slot has a connection of its own. */
export class HttpTransport implements InferTransport {
  private readonly endpoint: Endpoint;
  private readonly connections: (Http1Connection | undefined)[] = [];

  constructor(endpoint: Endpoint) {
    this.endpoint = endpoint;
  }

  async open(slots: number): Promise<void> {
    await Promise.all(
      Array.from({ length: slots }, async (_, slot) => {
        if (this.connections[slot]?.usable) return;
        this.connections[slot] = await Http1Connection.connect(this.endpoint);
      }),
    );
  }

  infer(slot: number, parts: readonly Uint8Array[], sink: ReplySink): void {
    const connection = this.connections[slot];
    if (!connection?.usable) {
      Http1Connection.connect(this.endpoint).then(
        (opened) => {
          this.connections[slot] = opened;
          this.send(opened, parts, sink);
        },
        (error: unknown) => sink.failed(asClientError(error)),
      );
      return;
    }
    this.send(connection, parts, sink);
  }

  private send(connection: Http1Connection, parts: readonly Uint8Array[], sink: ReplySink): void {
    connection.send(parts, {
      began: () => sink.began(),
      done(response) {
        if (response.status !== 200) sink.failed(new ClientError('server', errorText(response), response.status));
        else {
          sink.response(response.body);
          sink.done();
        }
      },
      failed: (error) => sink.failed(error),
    });
  }

  close(): void {
    for (const connection of this.connections) connection?.close();
  }
}

/** Streams of one connection, unless TRITON_CLIENT_GRPC_CHANNEL_MAX_SHARE_COUNT says otherwise, as Triton's clients. */
const SHARED_BY = 6;

/** gRPC connections, each shared by a few slots. */
class Channels {
  private readonly endpoint: Endpoint;
  private readonly share: number;
  private readonly connections: (Http2ClientConnection | undefined)[] = [];
  private readonly opening: (Promise<Http2ClientConnection> | undefined)[] = [];

  constructor(endpoint: Endpoint, share: number) {
    this.endpoint = endpoint;
    this.share = share;
  }

  async open(slots: number): Promise<void> {
    await Promise.all(Array.from({ length: Math.ceil(slots / this.share) }, (_, index) => this.connect(index)));
  }

  /** The connection of a slot when it can be used now. */
  now(slot: number): Http2ClientConnection | undefined {
    const connection = this.connections[Math.floor(slot / this.share)];
    return connection?.usable ? connection : undefined;
  }

  of(slot: number): Promise<Http2ClientConnection> {
    return this.connect(Math.floor(slot / this.share));
  }

  private connect(index: number): Promise<Http2ClientConnection> {
    const open = this.connections[index];
    if (open?.usable) return Promise.resolve(open);
    const opening = (this.opening[index] ??= Http2ClientConnection.connect(this.endpoint).finally(() => {
      this.opening[index] = undefined;
    }));
    return opening.then((connection) => (this.connections[index] = connection));
  }

  close(): void {
    for (const connection of this.connections) connection?.close();
  }
}

export interface GrpcTransportOptions {
  readonly endpoint: Endpoint;
  readonly metadata: ExtraHeaders;
  readonly compression: string;
}

function createChannels(endpoint: Endpoint): Channels {
  const share = Number(process.env['TRITON_CLIENT_GRPC_CHANNEL_MAX_SHARE_COUNT'] ?? SHARED_BY);
  return new Channels(endpoint, Number.isInteger(share) && share > 0 ? share : SHARED_BY);
}

function headersFor(method: string, { endpoint, metadata, compression }: GrpcTransportOptions): readonly string[] {
  const coding = compression === 'none' ? [] : [['grpc-encoding', compression] as const];
  return grpcHeaders(SERVICE + method, endpoint, [...metadata, ...coding]);
}

/** gRPC: a `ModelInfer` call for each request. */
export class GrpcTransport implements InferTransport {
  private readonly channels: Channels;
  private readonly headers: readonly string[];

  constructor(options: GrpcTransportOptions) {
    this.channels = createChannels(options.endpoint);
    this.headers = headersFor('ModelInfer', options);
  }

  open(slots: number): Promise<void> {
    return this.channels.open(slots);
  }

  infer(slot: number, parts: readonly Uint8Array[], sink: ReplySink): void {
    const connection = this.channels.now(slot);
    if (connection) this.send(connection, parts, sink);
    else {
      this.channels.of(slot).then(
        (opened) => this.send(opened, parts, sink),
        (error: unknown) => sink.failed(asClientError(error)),
      );
    }
  }

  private send(connection: Http2ClientConnection, parts: readonly Uint8Array[], sink: ReplySink): void {
    const answer = new GrpcAnswer({
      began: () => sink.began(),
      message: (message) => sink.response(message),
      done: () => sink.done(),
      failed: (error) => sink.failed(error),
    });
    connection.open(this.headers, parts[0], true, answer);
  }

  close(): void {
    this.channels.close();
  }
}

/** A `ModelStreamInfer` call that a slot keeps open. */
interface SlotStream {
  readonly connection: Http2ClientConnection;
  readonly stream: ClientStream;
  sink: ReplySink | undefined;
  begun: boolean;
  open: boolean;
}

/** The first byte of a stream's message that carries an error. */
const ERROR_TAG = 0x0a;

/** gRPC: one `ModelStreamInfer` call for each slot; a request may have any number of responses. */
export class StreamTransport implements InferTransport {
  private readonly channels: Channels;
  private readonly headers: readonly string[];
  private readonly decoupled: boolean;
  private readonly streams: (SlotStream | undefined)[] = [];

  constructor(options: GrpcTransportOptions, decoupled: boolean) {
    this.channels = createChannels(options.endpoint);
    this.headers = headersFor('ModelStreamInfer', options);
    this.decoupled = decoupled;
  }

  async open(slots: number): Promise<void> {
    await this.channels.open(slots);
    for (let slot = 0; slot < slots; slot++) this.streamOf(slot, await this.channels.of(slot));
  }

  infer(slot: number, parts: readonly Uint8Array[], sink: ReplySink): void {
    const open = this.streams[slot];
    if (open?.open) {
      this.send(open, parts, sink);
      return;
    }
    this.channels.of(slot).then(
      (connection) => this.send(this.streamOf(slot, connection), parts, sink),
      (error: unknown) => sink.failed(asClientError(error)),
    );
  }

  private send(stream: SlotStream, parts: readonly Uint8Array[], sink: ReplySink): void {
    stream.sink = sink;
    stream.begun = false;
    stream.connection.send(stream.stream, parts[0] ?? Buffer.alloc(0), false);
  }

  private streamOf(slot: number, connection: Http2ClientConnection): SlotStream {
    const fail = (error: ClientError): void => {
      stream.open = false;
      const { sink } = stream;
      stream.sink = undefined;
      sink?.failed(error);
    };
    const answer = new GrpcAnswer({
      message: (message) => this.received(stream, message),
      done: () => fail(new ClientError('closed', 'the server ended the stream')),
      failed: fail,
    });
    const stream: SlotStream = {
      connection,
      stream: connection.open(this.headers, undefined, false, answer),
      sink: undefined,
      begun: false,
      open: true,
    };
    this.streams[slot] = stream;
    return stream;
  }

  private received(stream: SlotStream, message: Buffer): void {
    const { sink } = stream;
    if (!sink) return;
    if (!stream.begun) {
      stream.begun = true;
      sink.began();
    }
    if (!this.decoupled && message[0] !== ERROR_TAG) {
      stream.sink = undefined;
      sink.response(message);
      sink.done();
      return;
    }
    const { errorMessage, inferResponse } = fromBinary(ModelStreamInferResponseSchema, message);
    if (errorMessage !== '') {
      stream.sink = undefined;
      sink.failed(new ClientError('server', errorMessage));
      return;
    }
    const final = inferResponse?.parameters['triton_final_response']?.parameterChoice.value === true;
    const empty = (inferResponse?.outputs.length ?? 0) === 0;
    if (!final || !empty) sink.response(message);
    if (!final) return;
    stream.sink = undefined;
    sink.done();
  }

  close(): void {
    this.channels.close();
  }
}

function asClientError(error: unknown): ClientError {
  return error instanceof ClientError ? error : new ClientError('connect', String(error));
}
