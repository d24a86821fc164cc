import { deflateSync, gzipSync } from 'node:zlib';

/** How the answers of a call are compressed. */
export interface MessageCompression {
  readonly encoding: 'gzip' | 'deflate';
  readonly level: number;
}

/** Bytes of the head of a gRPC frame: the compressed flag and the length. */
const HEAD = 5;

/** What the server may use for this client; `undefined` for nothing. */
export function compressionFor(
  { compressionLevel }: { readonly compressionLevel: number },
  headers: ReadonlyMap<string, string>,
): MessageCompression | undefined {
  if (compressionLevel === 0) return undefined;
  const accepted = headers.get('grpc-accept-encoding') ?? '';
  const encoding = accepted.includes('gzip') ? 'gzip' : accepted.includes('deflate') ? 'deflate' : undefined;
  return encoding && { encoding, level: compressionLevel };
}

/** A frame with its message compressed. */
export function compressFrame(frame: Uint8Array, { encoding, level }: MessageCompression): Buffer {
  const message = frame.subarray(HEAD);
  const packed = encoding === 'gzip' ? gzipSync(message, { level }) : deflateSync(message, { level });
  const head = Buffer.alloc(HEAD);
  head.writeUInt8(1);
  head.writeUInt32BE(packed.length, 1);
  return Buffer.concat([head, packed]);
}
