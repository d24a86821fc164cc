import type { Socket } from 'node:net';

/** Up to this many bytes are put together and written at once. */
const JOIN_BYTES = 32 * 1024;

/** Beyond this many bytes on their way to the socket, data waits in its streams. */
const CONGESTED_BYTES = 1024 * 1024;

/** Beyond this many, the client asks for answers that it does not read. */
const OVERFLOW_BYTES = 16 * 1024 * 1024;

/** What a connection has to send: frames are gathered, and written once whoever makes them is done. */
export class Output {
  private readonly socket: Socket;
  private parts: Uint8Array[] = [];
  private bytes = 0;
  private held = false;
  private scheduled = false;
  private readonly flushLater = (): void => {
    this.scheduled = false;
    this.flush();
  };

  constructor(socket: Socket) {
    this.socket = socket;
  }

  /** @param bytes must stay as they are until they have been sent */
  write(bytes: Uint8Array): void {
    this.parts.push(bytes);
    this.bytes += bytes.length;
    if (this.held || this.scheduled) return;
    this.scheduled = true;
    process.nextTick(this.flushLater);
  }

  /** Whether data has to wait for the socket. */
  get congested(): boolean {
    return this.bytes + this.socket.writableLength > CONGESTED_BYTES;
  }

  /** Nothing is written until {@link release}: more is about to come. */
  hold(): void {
    this.held = true;
  }

  release(): void {
    this.held = false;
    this.flush();
  }

  private flush(): void {
    const { parts, bytes, socket } = this;
    if (bytes === 0) return;
    this.parts = [];
    this.bytes = 0;
    if (!socket.writable) return;
    if (parts.length === 1) socket.write(parts[0] ?? '');
    else if (bytes <= JOIN_BYTES) socket.write(Buffer.concat(parts, bytes));
    else {
      socket.cork();
      for (const part of parts) socket.write(part);
      socket.uncork();
    }
    if (socket.writableLength > OVERFLOW_BYTES) socket.destroy();
  }
}
