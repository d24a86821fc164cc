import { STATUS_CODES } from 'node:http';
import type { Socket } from 'node:net';
import type { BodyStream, HttpReply, HttpStreamReply } from '../../exchange.ts';

/** Responses up to this size are put together and written at once. */
const JOIN_BYTES = 16 * 1024;

/** Longer parts are written in slices of this size, so that other connections get their turn in between. */
const SLICE_BYTES = 256 * 1024;

/** Bytes of a stream that a client may leave unread. */
const MAX_UNSENT_BYTES = 64 * 1024 * 1024;

/** How a response is to be framed. */
export interface ResponseOptions {
  readonly keepAlive: boolean;
  /** A response to HEAD has the headers of one with a body. */
  readonly headOnly: boolean;
  /** HTTP/1.0 has no chunks: the end of the connection is the end of the body. */
  readonly chunked: boolean;
}

/**
 * Writes a whole response.
 * @param done called when its bytes are no longer needed; not called when the connection breaks before
 */
export function writeReply(socket: Socket, reply: HttpReply, options: ResponseOptions, done: () => void): void {
  let length = 0;
  for (const part of reply.body) length += part.length;
  const head = responseHead(reply, options.keepAlive, `Content-Length: ${length}\r\n`);
  if (options.headOnly || length === 0) {
    socket.write(head, 'latin1');
    done();
    return;
  }
  if (length > SLICE_BYTES) {
    socket.write(head, 'latin1');
    void writeSlices(socket, reply.body, done);
    return;
  }
  if (length > JOIN_BYTES) {
    // One system call for all parts, and no copy.
    socket.cork();
    socket.write(head, 'latin1');
    reply.body.forEach((part, index) => {
      const last = index === reply.body.length - 1;
      socket.write(part, last ? (error) => error ?? done() : undefined);
    });
    socket.uncork();
    return;
  }
  const whole = Buffer.allocUnsafe(head.length + length);
  whole.write(head, 0, 'latin1');
  let offset = head.length;
  for (const part of reply.body) {
    whole.set(part, offset);
    offset += part.length;
  }
  socket.write(whole);
  done();
}

/** Starts a response whose body comes little by little; every piece goes out as it is written. */
export function writeStream(socket: Socket, reply: HttpStreamReply, options: ResponseOptions, done: () => void): void {
  const framing = `Cache-Control: no-cache\r\n${options.chunked ? 'Transfer-Encoding: chunked\r\n' : ''}`;
  socket.write(responseHead(reply, options.keepAlive && options.chunked, framing), 'latin1');
  let open = true;
  const body: BodyStream = {
    write(chunk) {
      if (!open || !socket.writable || chunk === '' || options.headOnly) return;
      const size = options.chunked ? `${Buffer.byteLength(chunk).toString(16)}\r\n` : '';
      socket.write(options.chunked ? `${size}${chunk}\r\n` : chunk);
      // A client that does not read its events must not make the server keep them all.
      if (socket.writableLength > MAX_UNSENT_BYTES) socket.destroy();
    },
    end() {
      if (!open) return;
      open = false;
      if (options.chunked && !options.headOnly && socket.writable) socket.write('0\r\n\r\n', 'latin1');
      done();
    },
  };
  reply.start(body);
}

function responseHead(
  { status, contentType, headers = [] }: Pick<HttpReply, 'status' | 'contentType' | 'headers'>,
  keepAlive: boolean,
  framing: string,
): string {
  let head = `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? 'Unknown'}\r\nContent-Type: ${contentType}\r\n${framing}`;
  for (const [name, value] of headers) head += `${name}: ${value}\r\n`;
  return `${head}${keepAlive ? 'Connection: keep-alive' : 'Connection: close'}\r\n\r\n`;
}

/** Writes long parts slice by slice; ends early when the client goes away. */
async function writeSlices(socket: Socket, parts: readonly Uint8Array[], done: () => void): Promise<void> {
  for (const part of parts) {
    for (let offset = 0; offset < part.length; offset += SLICE_BYTES) {
      const slice = part.subarray(offset, offset + SLICE_BYTES);
      const failed = await new Promise<unknown>((resolve) => {
        if (socket.destroyed) resolve(true);
        else socket.write(slice, resolve);
      });
      if (failed) return;
    }
  }
  done();
}
