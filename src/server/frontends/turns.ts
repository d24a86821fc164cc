import type { Socket } from 'node:net';

/** After this many bytes of bodies from one connection the others get their turn. */
const TURN_BYTES = 256 * 1024;

/** Keeps one connection that sends a lot from being read in one go. */
export class Turns {
  private readonly socket: Socket;
  private bytes = 0;

  constructor(socket: Socket) {
    this.socket = socket;
  }

  /** So many bytes of a body have been read. */
  took(bytes: number): void {
    this.bytes += bytes;
    if (this.bytes < TURN_BYTES) return;
    this.bytes = 0;
    this.socket.pause();
    setImmediate(() => this.socket.resume());
  }
}
