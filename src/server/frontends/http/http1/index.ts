import { createServer } from 'node:net';
import type { Logger } from '../../../../core/index.ts';
import type { HttpHandler } from '../../exchange.ts';
import { listen } from '../../listen.ts';
import { BodyPool } from '../body-pool.ts';
import { Connection } from './connection.ts';

export interface HttpServerOptions {
  readonly host: string;
  readonly port: number;
  readonly maxInputBytes: number;
  /** Other processes may listen on the same port. */
  readonly reusePort: boolean;
  readonly logger: Logger;
}

/** A listening HTTP server. */
export interface HttpListener {
  readonly port: number;
  /** Stops accepting connections, lets requests in progress finish, then resolves. */
  close(): Promise<void>;
}

const TICK_MS = 1000;

/** How long requests may go on once the server closes. */
const CLOSE_MS = 2000;

/** Serves a handler over HTTP/1.1, with a parser of our own (RFC 9112) on plain sockets. */
export async function listenHttp(handler: HttpHandler, options: HttpServerOptions): Promise<HttpListener> {
  const pool = new BodyPool();
  const connections = new Set<Connection>();
  let drained: (() => void) | undefined;
  const server = createServer({ noDelay: true, allowHalfOpen: true, pauseOnConnect: true }, (socket) => {
    const connection = new Connection(socket, { ...options, handler, pool });
    connections.add(connection);
    connection.onClose(() => {
      connections.delete(connection);
      if (connections.size === 0) drained?.();
    });
  });
  const port = await listen(server, options.host, options.port, options.reusePort);
  // One timer for all of them: a timer for each request would cost more than the rest of its handling.
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
      for (const connection of connections) connection.stop();
      const timer = setTimeout(() => {
        for (const connection of connections) connection.destroy();
      }, CLOSE_MS);
      if (connections.size > 0) await closed;
      clearTimeout(timer);
      clearInterval(ticker);
    },
  };
}
