import { ErrorCode, Http2Error } from '../../../../protocol/http2/index.ts';

/** Streams that a client may give up in one go, and how many more each second. */
const RESETS = 1000;
const RESETS_PER_SECOND = 200;

/** Frames that do nothing, or make work for nothing, that may come before a request is answered. */
const IDLE_FRAMES = 10_000;

/** Ends connections whose clients make the server work and never let it finish (RFC 9113, section 10.5). */
export class FloodGuard {
  private resets = RESETS;
  private idleFrames = IDLE_FRAMES;

  /** A second has passed. */
  tick(): void {
    this.resets = Math.min(RESETS, this.resets + RESETS_PER_SECOND);
    this.idleFrames = IDLE_FRAMES;
  }

  /** A stream was given up before it was answered. */
  reset(): void {
    if (--this.resets < 0) throw calm(`more than ${RESETS} requests were given up at once`);
  }

  /** SETTINGS, PING, PRIORITY, empty DATA and unknown frames. */
  idleFrame(): void {
    if (--this.idleFrames < 0) throw calm(`more than ${IDLE_FRAMES} frames a second are without any use`);
  }
}

function calm(why: string): Http2Error {
  return new Http2Error(ErrorCode.ENHANCE_YOUR_CALM, why);
}
