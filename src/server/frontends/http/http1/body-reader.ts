import type { BodyPool } from '../body-pool.ts';
import { BodyError, tooLarge } from '../content-coding.ts';
import { type Framing, MessageError, parseField } from './head.ts';

/** Bodies from this size on are received into one exactly sized buffer out of a pool. */
const POOLED_BODY_BYTES = 16 * 1024;

/** Most chunks of a chunked body; more is an attack or a mistake. */
export const MAX_CHUNKS = 65_536;

/** Most bytes of a line with a chunk's size, and of all trailers together. */
const MAX_LINE_BYTES = 4096;
const MAX_TRAILER_BYTES = 16 * 1024;

/** A body that has been received, and the pooled buffer under it, if there is one. */
export interface ReceivedBody {
  readonly body: Uint8Array;
  readonly pooled: Buffer | undefined;
}

/** Takes bytes until a body is complete. */
export interface BodyReader {
  /**
   * @returns how many of the bytes belong to the body
   * @throws BodyError for a body that is too large, MessageError for one that is malformed
   */
  take(chunk: Buffer): number;
  /** Set once the body is complete. */
  readonly received: ReceivedBody | undefined;
}

const NOTHING: ReceivedBody = { body: Buffer.alloc(0), pooled: undefined };

/**
 * @param limit bytes that a body may have
 * @throws BodyError when the announced length is too large
 */
export function createBodyReader(framing: Framing, limit: number, pool: BodyPool): BodyReader {
  if (framing.kind === 'chunked') return new ChunkedReader(limit);
  if (framing.length > limit) throw tooLarge(framing.length, limit);
  return new LengthReader(framing.length, pool);
}

/** A body of a known length. What comes in is copied: the bytes are the connection's, and used again. */
class LengthReader implements BodyReader {
  private readonly length: number;
  private readonly pool: BodyPool;
  private buffer: Buffer | undefined;
  private have = 0;
  received: ReceivedBody | undefined;

  constructor(length: number, pool: BodyPool) {
    this.length = length;
    this.pool = pool;
    if (length === 0) this.received = NOTHING;
  }

  take(chunk: Buffer): number {
    const wanted = this.length - this.have;
    const pooled = this.length >= POOLED_BODY_BYTES;
    this.buffer ??= pooled ? this.pool.take(this.length) : Buffer.allocUnsafe(this.length);
    const taken = Math.min(wanted, chunk.length);
    chunk.copy(this.buffer, this.have, 0, taken);
    this.have += taken;
    if (this.have === this.length) {
      this.received = { body: this.buffer, pooled: pooled ? this.buffer : undefined };
    }
    return taken;
  }
}

/** Where a chunked body is. */
type Expecting =
  | { readonly kind: 'size' }
  | { readonly kind: 'data'; left: number }
  | { readonly kind: 'end of data'; left: number }
  | { readonly kind: 'trailers' };

/** A chunked body (RFC 9112, section 7.1). What extensions and trailers say is not looked at. */
class ChunkedReader implements BodyReader {
  private readonly limit: number;
  private readonly parts: Buffer[] = [];
  private size = 0;
  private chunks = 0;
  private line = '';
  private trailerBytes = 0;
  private expecting: Expecting = { kind: 'size' };
  received: ReceivedBody | undefined;

  constructor(limit: number) {
    this.limit = limit;
  }

  take(chunk: Buffer): number {
    let offset = 0;
    while (offset < chunk.length && !this.received) {
      const { expecting } = this;
      switch (expecting.kind) {
        case 'data': {
          const taken = Math.min(expecting.left, chunk.length - offset);
          this.parts.push(Buffer.from(chunk.subarray(offset, offset + taken)));
          expecting.left -= taken;
          offset += taken;
          if (expecting.left === 0) this.expecting = { kind: 'end of data', left: 2 };
          break;
        }
        case 'end of data': {
          if (chunk[offset] !== (expecting.left === 2 ? 0x0d : 0x0a)) throw malformed();
          offset++;
          expecting.left--;
          if (expecting.left === 0) this.expecting = { kind: 'size' };
          break;
        }
        case 'size':
        case 'trailers':
          offset += this.takeLine(chunk, offset, expecting.kind);
          break;
        default:
          return expecting satisfies never;
      }
    }
    return offset;
  }

  private takeLine(chunk: Buffer, offset: number, kind: 'size' | 'trailers'): number {
    const end = chunk.indexOf(0x0a, offset);
    const upTo = end < 0 ? chunk.length : end + 1;
    this.line += chunk.toString('latin1', offset, upTo);
    if (this.line.length > MAX_LINE_BYTES) throw new MessageError(400, 'a line of the chunked body is too long');
    if (end < 0) return upTo - offset;
    const { line } = this;
    this.line = '';
    if (!line.endsWith('\r\n')) throw malformed();
    if (kind === 'size') this.startChunk(line);
    else this.takeTrailer(line);
    return upTo - offset;
  }

  private startChunk(line: string): void {
    const size = /^([0-9a-fA-F]{1,12})[ \t]*(?:;[\t\x20-\x7e\x80-\xff]*)?\r\n$/.exec(line)?.[1];
    if (size === undefined) throw malformed();
    const length = Number.parseInt(size, 16);
    if (length === 0) {
      this.expecting = { kind: 'trailers' };
      return;
    }
    this.size += length;
    this.chunks++;
    if (this.size > this.limit) throw tooLarge(`more than ${this.limit}`, this.limit);
    if (this.chunks > MAX_CHUNKS) throw new BodyError(400, `Request body has more than ${MAX_CHUNKS} chunks`);
    this.expecting = { kind: 'data', left: length };
  }

  private takeTrailer(line: string): void {
    this.trailerBytes += line.length;
    if (this.trailerBytes > MAX_TRAILER_BYTES) throw new MessageError(431, 'the trailers are too long');
    if (line !== '\r\n') {
      parseField(line.slice(0, -2), 'trailer');
      return;
    }
    const [only] = this.parts;
    const body = this.parts.length === 1 && only ? only : Buffer.concat(this.parts);
    this.received = { body, pooled: undefined };
  }
}

function malformed(): MessageError {
  return new MessageError(400, 'malformed chunked body');
}
