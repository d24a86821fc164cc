import { createServer, type Server, type Socket } from 'node:net';
import { createServer as createTlsServer } from 'node:tls';
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

const TICK_MS = 1000;

/** How long requests may go on once the server closes. */
const CLOSE_MS = 2000;

/** What is told of a connection, once there is one. */
export type Watch = (connection: () => Http2Connection) => ConnectionEvents;

/** Listens for HTTP/2 connections: over TLS by ALPN, otherwise with prior knowledge (RFC 9113, section 3). */
export async function listenHttp2(watch: Watch, options: Http2ServerOptions): Promise<Http2Listener> {
  const connections = new Set<Http2Connection>();
  let drained: (() => void) | undefined;
  const accept = (socket: Socket): void => {
    const events = watch(() => connection);
    const connection: Http2Connection = new Http2Connection(socket, {
      ...events,
      closed() {
        events.closed();
        connections.delete(connection);
        if (connections.size === 0) drained?.();
      },
    });
    connections.add(connection);
  };
  const server = createListener(options.tls, accept);
  const port = await listen(server, options.host, options.port, options.reusePort);
  // One timer for all of them.
  const ticker = setInterval(() => {
    for (const connection of connections) connection.tick();
  }, TICK_MS);
  ticker.unref();
  return {
    port,
    async close() {
      server.close();
      // The server itself does not know of the connections any more.
      const closed = new Promise<void>((resolve) => (drained = resolve));
      for (const connection of connections) connection.drain();
      const timer = setTimeout(() => {
        for (const connection of connections) connection.destroy();
      }, CLOSE_MS);
      if (connections.size > 0) await closed;
      clearTimeout(timer);
      clearInterval(ticker);
    },
  };
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
