import { gunzipSync, inflateSync } from 'node:zlib';
import { ServerError } from '../../../core/index.ts';
import type { GrpcReceiver } from './call.ts';

const PREFIX = 5;

/** From this size on a message is received into one exactly sized SharedArrayBuffer. */
const SHARED_MESSAGE_BYTES = 1024 * 1024;

/** Cuts the body of a gRPC call into messages, each in a buffer of exactly its size. */
export class MessageReader {
  private readonly limit: number;
  private readonly encoding: string;
  private readonly receiver: Pick<GrpcReceiver, 'message'>;
  /** Bytes of an incomplete prefix or small message. */
  private partial: Buffer | undefined;
  private collecting: { readonly buffer: Buffer; filled: number; readonly compressed: boolean } | undefined;

  constructor(limit: number, encoding: string, receiver: Pick<GrpcReceiver, 'message'>) {
    this.limit = limit;
    this.encoding = encoding;
    this.receiver = receiver;
  }

  /**
   * @param chunk may be written over once this returns
   * @throws ServerError when the stream breaks the protocol or a limit
   */
  push(chunk: Buffer): void {
    let data = chunk;
    if (this.collecting) {
      const { collecting } = this;
      const wanted = Math.min(data.length, collecting.buffer.length - collecting.filled);
      data.copy(collecting.buffer, collecting.filled, 0, wanted);
      collecting.filled += wanted;
      if (collecting.filled < collecting.buffer.length) return;
      this.collecting = undefined;
      this.deliver(collecting.buffer, collecting.compressed);
      data = data.subarray(wanted);
    } else if (this.partial) {
      data = Buffer.concat([this.partial, data]);
      this.partial = undefined;
    }
    while (data.length >= PREFIX) {
      const compressed = data[0] === 1;
      const length = data.readUInt32BE(1);
      if (length > this.limit) {
        throw new ServerError('UNAVAILABLE', `Received message larger than max (${length} vs. ${this.limit})`);
      }
      if (data.length < PREFIX + length) {
        const buffer =
          length >= SHARED_MESSAGE_BYTES ? Buffer.from(new SharedArrayBuffer(length)) : Buffer.allocUnsafe(length);
        const filled = data.copy(buffer, 0, PREFIX);
        this.collecting = { buffer, filled, compressed };
        return;
      }
      const message = Buffer.from(data.subarray(PREFIX, PREFIX + length));
      data = data.subarray(PREFIX + length);
      this.deliver(message, compressed);
    }
    if (data.length > 0) this.partial = Buffer.from(data);
  }

  private deliver(message: Buffer, compressed: boolean): void {
    this.receiver.message(compressed ? this.decompress(message) : message);
  }

  private decompress(message: Buffer): Buffer {
    const options = { maxOutputLength: this.limit };
    try {
      if (this.encoding === 'gzip') return gunzipSync(message, options);
      if (this.encoding === 'deflate') return inflateSync(message, options);
    } catch (error) {
      throw new ServerError('INTERNAL', `cannot decompress a message as ${this.encoding}`, { cause: error });
    }
    throw new ServerError(
      'UNSUPPORTED',
      `message compression '${this.encoding}' is not supported: use gzip or deflate`,
    );
  }
}
