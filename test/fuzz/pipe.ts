import type { Socket } from 'node:net';
import { Duplex } from 'node:stream';

/** One end of a connection within the process: what is pushed is read by the server, what it writes is kept. */
export class Pipe extends Duplex {
  readonly written: Buffer[] = [];

  constructor() {
    super({ allowHalfOpen: true });
  }

  override _read(): void {}

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: () => void): void {
    this.written.push(chunk);
    done();
  }

  /** As servers take it. They use of it what all streams have, and the names of a few settings. */
  asSocket(): Socket {
    const settings = { setTimeout: () => this, setNoDelay: () => this, setKeepAlive: () => this };
    return Object.assign(this, settings) as unknown as Socket;
  }
}
