import { ErrorCode, Flag, type HeaderList, HpackDecoder, Http2Error } from '../../../../protocol/http2/index.ts';
import { requireStream } from './frame-checks.ts';

/** Most bytes of the headers of a request, counted as HPACK does, and of the block that they come in. */
export const MAX_HEADER_BYTES = 64 * 1024;
const MAX_BLOCK_BYTES = 2 * MAX_HEADER_BYTES;
const MAX_CONTINUATIONS = 64;

const PRIORITY_BYTES = 5;

/** A whole header block: of a new request, or the trailers of one. */
export interface HeaderBlock {
  readonly stream: number;
  readonly endStream: boolean;
  readonly list: HeaderList;
  /** It asks for a priority after itself, which is a mistake. */
  readonly selfDependent: boolean;
}

/** A header block whose end has not come. */
interface OpenBlock extends Omit<HeaderBlock, 'list'> {
  readonly parts: Buffer[];
  bytes: number;
}

/** Puts header blocks together from HEADERS and CONTINUATION frames, and decodes them. */
export class HeaderBlocks {
  private readonly decoder = new HpackDecoder(MAX_HEADER_BYTES);
  private block: OpenBlock | undefined;

  /** Whether CONTINUATION is the only frame that may come. */
  get open(): boolean {
    return this.block !== undefined;
  }

  /**
   * A HEADERS frame.
   * @returns the block when that is all of it
   */
  begin(flags: number, stream: number, payload: Buffer): HeaderBlock | undefined {
    requireStream('HEADERS', stream);
    const padded = (flags & Flag.PADDED) !== 0;
    const prioritized = (flags & Flag.PRIORITY) !== 0;
    const priority = padded ? 1 : 0;
    const start = priority + (prioritized ? PRIORITY_BYTES : 0);
    const end = payload.length - (padded ? (payload[0] ?? 0) : 0);
    if (end < start) throw new Http2Error(ErrorCode.PROTOCOL_ERROR, 'a HEADERS frame has more padding than bytes');
    const fragment = payload.subarray(start, end);
    const endStream = (flags & Flag.END_STREAM) !== 0;
    const selfDependent = prioritized && dependsOn(payload, priority) === stream;
    if (flags & Flag.END_HEADERS) return { stream, endStream, selfDependent, list: this.decoder.decode(fragment) };
    this.block = { stream, endStream, selfDependent, parts: [Buffer.from(fragment)], bytes: fragment.length };
    return undefined;
  }

  /**
   * A CONTINUATION frame.
   * @returns the block when that was the last of it
   */
  continue(flags: number, stream: number, payload: Buffer): HeaderBlock | undefined {
    const { block } = this;
    if (block?.stream !== stream) throw new Http2Error(ErrorCode.PROTOCOL_ERROR, 'CONTINUATION comes without HEADERS');
    block.parts.push(Buffer.from(payload));
    block.bytes += payload.length;
    if (block.bytes > MAX_BLOCK_BYTES || block.parts.length > MAX_CONTINUATIONS) {
      const limit = `${MAX_BLOCK_BYTES} bytes or ${MAX_CONTINUATIONS} frames`;
      throw new Http2Error(ErrorCode.ENHANCE_YOUR_CALM, `the headers of a request are longer than ${limit}`);
    }
    if (!(flags & Flag.END_HEADERS)) return undefined;
    this.block = undefined;
    const { endStream, selfDependent } = block;
    return { stream, endStream, selfDependent, list: this.decoder.decode(Buffer.concat(block.parts, block.bytes)) };
  }
}

/** The stream that a priority puts another one behind. */
export function dependsOn(payload: Buffer, offset: number): number {
  return payload.readUInt32BE(offset) & 0x7f_ff_ff_ff;
}
