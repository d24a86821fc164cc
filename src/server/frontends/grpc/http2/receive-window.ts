/** How much a client may still send, on a stream or on all of them together. */
export class ReceiveWindow {
  private readonly size: number;
  private left: number;
  /** Bytes that were read since the client was last told to send more. */
  private read = 0;

  constructor(size: number) {
    this.size = size;
    this.left = size;
  }

  /** @returns whether the client was allowed to send so many bytes */
  take(bytes: number): boolean {
    this.left -= bytes;
    this.read += bytes;
    return this.left >= 0;
  }

  /** How much more the client may be told to send: nothing until a quarter of the window has been read. */
  refill(): number {
    if (this.read < this.size / 4) return 0;
    const { read } = this;
    this.left += read;
    this.read = 0;
    return read;
  }
}
