import type { Socket } from 'node:net';
import { ClientError } from './client-error.ts';
import { type Endpoint, openSocket } from './endpoint.ts';
import { Http1ResponseReader, type HttpResponse } from './http1-response.ts';

/** What comes of a request. */
export interface HttpExchange {
  /** The first bytes of the response have come. */
  began?(): void;
  /** A piece of a streamed response, as it comes; good until the call returns. */
  piece?(bytes: Buffer): void;
  /** Good until the call returns. */
  done(response: HttpResponse): void;
  failed(error: ClientError): void;
}

/** A connection that is used for one request after the other. */
export class Http1Connection {
  private readonly socket: Socket;
  private readonly endpoint: Endpoint;
  private exchange: HttpExchange | undefined;
  private open = true;

  private constructor(endpoint: Endpoint, socket: Socket, reader: Http1ResponseReader) {
    this.endpoint = endpoint;
    this.socket = socket;
    socket.on('error', (error) => this.broke(error.message));
    socket.on('close', () => {
      if (!reader.close()) this.broke('the server closed the connection');
      this.open = false;
    });
  }

  /** @throws ClientError */
  static async connect(endpoint: Endpoint): Promise<Http1Connection> {
    let connection: Http1Connection | undefined;
    const reader = new Http1ResponseReader({
      began: () => connection?.exchange?.began?.(),
      piece: (bytes) => connection?.exchange?.piece?.(bytes),
      done: (response, keepAlive) => connection?.answered(response, keepAlive),
    });
    const socket = await openSocket(endpoint, 'http/1.1', (bytes) => {
      try {
        reader.push(bytes);
      } catch (error) {
        connection?.fail(error instanceof ClientError ? error : new ClientError('protocol', String(error)));
      }
    });
    connection = new Http1Connection(endpoint, socket, reader);
    return connection;
  }

  /** Whether a request may be sent. */
  get usable(): boolean {
    return this.open && this.exchange === undefined;
  }

  get closed(): boolean {
    return !this.open;
  }

  /** Sends a whole request; the one before must have been answered. */
  send(parts: readonly Uint8Array[], exchange: HttpExchange): void {
    if (!this.usable) {
      exchange.failed(new ClientError('closed', 'the connection cannot take a request'));
      return;
    }
    this.exchange = exchange;
    if (parts.length === 1) this.socket.write(parts[0] ?? '');
    else {
      this.socket.cork();
      for (const part of parts) this.socket.write(part);
      this.socket.uncork();
    }
  }

  close(): void {
    this.exchange = undefined;
    this.open = false;
    this.socket.destroy();
  }

  private answered(response: HttpResponse, keepAlive: boolean): void {
    const { exchange } = this;
    this.exchange = undefined;
    if (!keepAlive) {
      this.open = false;
      this.socket.end();
    }
    exchange?.done(response);
  }

  private broke(reason: string): void {
    this.open = false;
    const { host, port } = this.endpoint;
    this.fail(new ClientError('closed', `the connection to ${host}:${port} broke: ${reason}`));
  }

  private fail(error: ClientError): void {
    const { exchange } = this;
    this.exchange = undefined;
    this.open = false;
    this.socket.destroy();
    exchange?.failed(error);
  }
}
