import { pingFrame } from '../../../../protocol/http2/index.ts';

/** Pings of this side that wait for their answers. */
export class Pings {
  private readonly waiting = new Map<bigint, () => void>();
  private last = 0n;

  /** @returns the frame that asks */
  ask(answered: () => void): Buffer {
    const payload = Buffer.alloc(8);
    payload.writeBigUInt64BE(++this.last);
    this.waiting.set(this.last, answered);
    return pingFrame(payload, false);
  }

  answered(payload: Buffer): void {
    const id = payload.readBigUInt64BE();
    const callback = this.waiting.get(id);
    this.waiting.delete(id);
    callback?.();
  }
}
