import { createServer, type Server, type Socket } from 'node:net';
import { createServer as createTlsServer } from 'node:tls';
import { ConnectionSet } from '../../connection-set.ts';
import { listen } from '../../listen.ts';
import { Http2Connection } from './connection.ts';
import type { ConnectionEvents } from './connection-events.ts';

export { type RequestHead } from './request-head.ts';
export { type Http2Stream, type StreamHandler } from './stream.ts';
export { Http2Connection } from './connection.ts';

/** PEM texts. */
export interface TlsOptions {
  readonly cert: Buffer;
  readonly key: Buffer;
  /** The authorities that clients' certificates come from, when clients must have one. */
  readonly clientAuthorities: Buffer | undefined;
}

export interface Http2ServerOptions {
  readonly host: string;
  readonly port: number;
  /** Serve over TLS. */
  readonly tls: TlsOptions | undefined;
  /** Other processes may listen on the same port. */
  readonly reusePort: boolean;
}

export interface Http2Listener {
  readonly port: number;
  /** Takes no more connections or streams, lets those that there are finish, then resolves. */
  close(): Promise<void>;
}

/** What is told of a connection, once there is one. */
export type Watch = (connection: () => Http2Connection) => ConnectionEvents;

/** Listens for HTTP/2 connections: over TLS by ALPN, otherwise with prior knowledge (RFC 9113, section 3). */
export async function listenHttp2(watch: Watch, options: Http2ServerOptions): Promise<Http2Listener> {
  const connections = new ConnectionSet<Http2Connection>();
  const accept = (socket: Socket): void => {
    const events = watch(() => connection);
    const connection: Http2Connection = new Http2Connection(socket, {
      ...events,
      closed() {
        events.closed();
        connections.delete(connection);
      },
    });
    connections.add(connection);
  };
  const server = createListener(options.tls, accept);
  const port = await listen(server, options.host, options.port, options.reusePort);
  return { port, close: () => connections.close(server) };
}

function createListener(tls: TlsOptions | undefined, accept: (socket: Socket) => void): Server {
  if (!tls) return createServer({ noDelay: true, allowHalfOpen: true, pauseOnConnect: true }, accept);
  const { cert, key, clientAuthorities } = tls;
  const server = createTlsServer({
    cert,
    key,
    noDelay: true,
    ALPNProtocols: ['h2'],
    ...(clientAuthorities ? { ca: clientAuthorities, requestCert: true, rejectUnauthorized: true } : {}),
  });
  server.on('secureConnection', accept);
  // A handshake that fails is the client's to see.
  server.on('tlsClientError', () => undefined);
  return server;
}
