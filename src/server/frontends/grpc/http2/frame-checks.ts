import { ErrorCode, Http2Error } from '../../../../protocol/http2/index.ts';

/** Rules that many frames share; each throws an {@link Http2Error} when it is broken. */

export function requireLength(what: string, payload: Buffer, length: number): void {
  if (payload.length === length) return;
  throw new Http2Error(ErrorCode.FRAME_SIZE_ERROR, `${what} has ${payload.length} bytes, not ${length}`);
}

export function requireStream(what: string, stream: number): void {
  if (stream === 0) throw new Http2Error(ErrorCode.PROTOCOL_ERROR, `${what} comes without a stream`);
}

export function requireConnection(what: string, stream: number): void {
  if (stream !== 0) throw new Http2Error(ErrorCode.PROTOCOL_ERROR, `${what} comes for stream ${stream}`);
}
