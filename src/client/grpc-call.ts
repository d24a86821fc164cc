import { ClientError } from './client-error.ts';
import type { Endpoint } from './endpoint.ts';
import type { StreamEvents } from './http2-connection.ts';

const PREFIX = 5;

/** The headers of a call, names and values in turn. */
export function grpcHeaders(
  path: string,
  { host, port, tls }: Endpoint,
  metadata: readonly (readonly [string, string])[],
): readonly string[] {
  return [
    ':method',
    'POST',
    ':scheme',
    tls ? 'https' : 'http',
    ':path',
    path,
    ':authority',
    `${host}:${port}`,
    'content-type',
    'application/grpc',
    'te',
    'trailers',
    'user-agent',
    'goodput',
    ...metadata.flatMap(([name, value]) => [name.toLowerCase(), value]),
  ];
}

/** What comes of a call. */
export interface GrpcEvents {
  /** The first bytes of the answer have come. */
  began?(): void;
  /** A whole message; good until the call returns. */
  message(message: Buffer): void;
  /** The call is over, and was successful. */
  done(): void;
  failed(error: ClientError): void;
}

/** Reads the answer of one gRPC call. */
export class GrpcAnswer implements StreamEvents {
  private readonly events: GrpcEvents;
  private partial: Buffer | undefined;
  private filled = 0;
  private status: string | undefined;
  private text = '';
  private begun = false;

  constructor(events: GrpcEvents) {
    this.events = events;
  }

  headers(fields: readonly string[]): void {
    if (!this.begun) {
      this.begun = true;
      this.events.began?.();
    }
    for (let index = 0; index + 1 < fields.length; index += 2) {
      const value = fields[index + 1] ?? '';
      switch (fields[index] ?? '') {
        case 'grpc-status':
          this.status = value;
          break;
        case 'grpc-message':
          this.text = percentDecode(value);
          break;
        case ':status':
          if (value !== '200') this.text = `HTTP status ${value}: the server does not speak gRPC`;
          break;
      }
    }
  }

  data(piece: Buffer): void {
    let bytes = piece;
    while (bytes.length > 0) {
      if (this.partial && this.partial.length > PREFIX) {
        const taken = bytes.copy(this.partial, this.filled);
        this.filled += taken;
        bytes = bytes.subarray(taken);
        if (this.filled < this.partial.length) return;
        const message = this.partial;
        this.partial = undefined;
        this.events.message(message.subarray(PREFIX));
        continue;
      }
      if (this.partial) {
        bytes = Buffer.concat([this.partial, bytes]);
        this.partial = undefined;
      }
      if (bytes.length < PREFIX) {
        this.partial = Buffer.from(bytes);
        return;
      }
      const end = PREFIX + bytes.readUInt32BE(1);
      if (bytes[0] !== 0) {
        this.events.failed(new ClientError('protocol', 'the server compressed a message without being asked to'));
        return;
      }
      if (bytes.length >= end) {
        this.events.message(bytes.subarray(PREFIX, end));
        bytes = bytes.subarray(end);
        continue;
      }
      // A message without a body is whole above, so what is collected is always longer than the prefix.
      this.partial = Buffer.allocUnsafe(end);
      this.filled = bytes.copy(this.partial);
      return;
    }
  }

  end(): void {
    if (this.status === '0') this.events.done();
    else if (this.status === undefined) {
      this.events.failed(new ClientError('protocol', this.text || 'the server ended the call without a status'));
    } else
      this.events.failed(new ClientError('server', this.text || `gRPC status ${this.status}`, Number(this.status)));
  }

  failed(error: ClientError): void {
    this.events.failed(error);
  }
}

function percentDecode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
