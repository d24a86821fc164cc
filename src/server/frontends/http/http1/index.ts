import { createServer } from 'node:net';
import type { Logger } from '../../../../core/index.ts';
import type { HttpHandler } from '../../exchange.ts';
import { ConnectionSet } from '../../connection-set.ts';
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

/** Serves a handler over HTTP/1.1, with a parser of our own (RFC 9112) on plain sockets. */
export async function listenHttp(handler: HttpHandler, options: HttpServerOptions): Promise<HttpListener> {
  const pool = new BodyPool();
  const connections = new ConnectionSet<Connection>();
  const server = createServer({ noDelay: true, allowHalfOpen: true, pauseOnConnect: true }, (socket) => {
    const connection = new Connection(socket, { ...options, handler, pool });
    connections.add(connection);
    connection.onClose(() => connections.delete(connection));
  });
  const port = await listen(server, options.host, options.port, options.reusePort);
  return { port, close: () => connections.close(server) };
}
