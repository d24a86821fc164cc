/**
 * Buffers for request bodies, used again: a stream of large requests of one size costs neither page faults nor
 * garbage collection. Bodies from {@link SHARED_BODY_BYTES} on lie in shared memory.
 */
export const SHARED_BODY_BYTES = 1024 * 1024;

/** Most bytes that are kept for later requests. */
const MAX_KEPT_BYTES = 64 * 1024 * 1024;

export class BodyPool {
  private readonly free = new Map<number, Buffer[]>();
  private keptBytes = 0;

  /** A buffer of exactly `length` bytes, with whatever was in it before. */
  take(length: number): Buffer {
    const buffer = this.free.get(length)?.pop();
    if (buffer) {
      this.keptBytes -= length;
      return buffer;
    }
    return length >= SHARED_BODY_BYTES ? Buffer.from(new SharedArrayBuffer(length)) : Buffer.allocUnsafeSlow(length);
  }

  /** Takes a buffer back; nobody may look at it any more. */
  giveBack(buffer: Buffer): void {
    if (this.keptBytes + buffer.length > MAX_KEPT_BYTES) {
      // Sizes that are asked for no longer make room for those that are.
      this.free.clear();
      this.keptBytes = 0;
      if (buffer.length > MAX_KEPT_BYTES) return;
    }
    const list = this.free.get(buffer.length) ?? [];
    list.push(buffer);
    this.free.set(buffer.length, list);
    this.keptBytes += buffer.length;
  }
}
