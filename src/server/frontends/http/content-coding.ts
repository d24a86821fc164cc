import { promisify } from 'node:util';
import { deflate, gunzip, gzip, inflate } from 'node:zlib';
import type { HttpReply } from '../exchange.ts';

/** Why a body could not be had. */
export class BodyError extends Error {
  readonly status: number;

  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

export function tooLarge(size: number | string, limit: number): BodyError {
  return new BodyError(
    400,
    `Request body of ${size} bytes exceeds the maximum allowed value of ${limit} bytes. Use --http-max-input-size to increase the limit.`,
  );
}

const gunzipAsync = promisify(gunzip);
const inflateAsync = promisify(inflate);
const gzipAsync = promisify(gzip);
const deflateAsync = promisify(deflate);

/** Undoes a request's `Content-Encoding`. */
export async function decompress(body: Uint8Array, encoding: string, limit: number): Promise<Uint8Array> {
  const decode = encoding === 'gzip' ? gunzipAsync : encoding === 'deflate' ? inflateAsync : undefined;
  if (!decode) throw new BodyError(501, 'Unsupported compression type');
  try {
    return await decode(body, { maxOutputLength: limit });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ERR_BUFFER_TOO_LARGE') throw tooLarge(`more than ${limit}`, limit);
    throw new BodyError(400, `Failed to decompress the request body as ${encoding}: ${(error as Error).message}`);
  }
}

export function wantsCompression(accepts: string): boolean {
  return accepts.includes('gzip') || accepts.includes('deflate');
}

/** Bodies below this do not get smaller. */
const SMALLEST_BYTES = 64;

/** Compresses bodies that gain by it. */
export async function compress(accepts: string, reply: HttpReply): Promise<HttpReply> {
  const whole = Buffer.concat(reply.body);
  const plain: HttpReply = { ...reply, body: [whole] };
  if (whole.length < SMALLEST_BYTES) return plain;
  const encoding = accepts.includes('gzip') ? 'gzip' : 'deflate';
  const packed = await (encoding === 'gzip' ? gzipAsync(whole) : deflateAsync(whole));
  return { ...plain, body: [packed], headers: [...(reply.headers ?? []), ['Content-Encoding', encoding]] };
}
