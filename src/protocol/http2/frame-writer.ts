import { type ErrorCode, Flag, FRAME_HEAD, FrameType } from './constants.ts';

/** Writes the head of a frame. */
export function writeFrameHead(
  target: Buffer,
  offset: number,
  length: number,
  type: number,
  flags: number,
  stream: number,
): number {
  target[offset] = length >>> 16;
  target[offset + 1] = length >>> 8;
  target[offset + 2] = length;
  target[offset + 3] = type;
  target[offset + 4] = flags;
  target[offset + 5] = stream >>> 24;
  target[offset + 6] = stream >>> 16;
  target[offset + 7] = stream >>> 8;
  target[offset + 8] = stream;
  return offset + FRAME_HEAD;
}

function frame(length: number, type: number, flags: number, stream: number): Buffer {
  const bytes = Buffer.allocUnsafe(FRAME_HEAD + length);
  writeFrameHead(bytes, 0, length, type, flags, stream);
  return bytes;
}

const SETTING_BYTES = 6;

/** SETTINGS with values by identifier. */
export function settingsFrame(settings: ReadonlyMap<number, number>): Buffer {
  const bytes = frame(settings.size * SETTING_BYTES, FrameType.SETTINGS, 0, 0);
  let offset = FRAME_HEAD;
  for (const [id, value] of settings) {
    offset = bytes.writeUInt16BE(id, offset);
    offset = bytes.writeUInt32BE(value, offset);
  }
  return bytes;
}

export function settingsAck(): Buffer {
  return frame(0, FrameType.SETTINGS, Flag.ACK, 0);
}

/** PING, or the answer to one, which carries the same eight bytes. */
export function pingFrame(payload: Uint8Array, ack: boolean): Buffer {
  const bytes = frame(payload.length, FrameType.PING, ack ? Flag.ACK : 0, 0);
  bytes.set(payload, FRAME_HEAD);
  return bytes;
}

export function windowUpdateFrame(stream: number, increment: number): Buffer {
  const bytes = frame(4, FrameType.WINDOW_UPDATE, 0, stream);
  bytes.writeUInt32BE(increment, FRAME_HEAD);
  return bytes;
}

export function resetFrame(stream: number, code: ErrorCode): Buffer {
  const bytes = frame(4, FrameType.RST_STREAM, 0, stream);
  bytes.writeUInt32BE(code, FRAME_HEAD);
  return bytes;
}

/** GOAWAY: streams after `lastStream` are not looked at. */
export function goawayFrame(lastStream: number, code: ErrorCode, reason = ''): Buffer {
  const text = Buffer.from(reason);
  const bytes = frame(8 + text.length, FrameType.GOAWAY, 0, 0);
  bytes.writeUInt32BE(lastStream, FRAME_HEAD);
  bytes.writeUInt32BE(code, FRAME_HEAD + 4);
  bytes.set(text, FRAME_HEAD + 8);
  return bytes;
}

/** Bytes that {@link writeHeaders} needs for a block. */
export function headersLength(block: Uint8Array, maxFrame: number): number {
  return block.length + FRAME_HEAD * Math.max(1, Math.ceil(block.length / maxFrame));
}

/** Writes a header block as HEADERS and as many CONTINUATION frames as it takes. */
export function writeHeaders(
  target: Buffer,
  offset: number,
  stream: number,
  block: Uint8Array,
  endStream: boolean,
  maxFrame: number,
): number {
  let at = offset;
  let sent = 0;
  let type: number = FrameType.HEADERS;
  do {
    const piece = block.subarray(sent, sent + maxFrame);
    sent += piece.length;
    const last = sent >= block.length ? Flag.END_HEADERS : 0;
    const end = type === FrameType.HEADERS && endStream ? Flag.END_STREAM : 0;
    at = writeFrameHead(target, at, piece.length, type, last | end, stream);
    target.set(piece, at);
    at += piece.length;
    type = FrameType.CONTINUATION;
  } while (sent < block.length);
  return at;
}
