import type { Server } from 'node:net';

/** A connection that a server keeps an eye on. */
export interface TrackedConnection {
  /** A second has passed. */
  tick(): void;
  /** No further request is taken; what is being answered is answered. */
  stop(): void;
  destroy(): void;
}

const TICK_MS = 1000;

/** How long requests may go on once the server closes. */
const CLOSE_MS = 2000;

/** The connections of a listening server, which itself does not know of them once their sockets were moved. */
export class ConnectionSet<C extends TrackedConnection> {
  private readonly connections = new Set<C>();
  private drained: (() => void) | undefined;
  /** One timer for all of them: a timer for each request would cost more than the rest of its handling. */
  private readonly ticker = setInterval(() => {
    for (const connection of this.connections) connection.tick();
  }, TICK_MS).unref();

  add(connection: C): void {
    this.connections.add(connection);
  }

  /** A connection is gone. */
  delete(connection: C): void {
    this.connections.delete(connection);
    if (this.connections.size === 0) this.drained?.();
  }

  /** Stops a server from accepting connections, lets requests in progress finish, then resolves. */
  async close(server: Server): Promise<void> {
    server.close();
    const closed = new Promise<void>((resolve) => (this.drained = resolve));
    for (const connection of this.connections) connection.stop();
    const timer = setTimeout(() => {
      for (const connection of this.connections) connection.destroy();
    }, CLOSE_MS);
    if (this.connections.size > 0) await closed;
    clearTimeout(timer);
    clearInterval(this.ticker);
  }
}
