import { Socket, type SocketConstructorOpts } from 'node:net';
import { TLSSocket } from 'node:tls';

/** What Node's stream handles have, and do not promise to keep. */
interface StreamHandle {
  useUserBuffer?: unknown;
}

const HANDLE = '_handle';

interface HandleOwner {
  [HANDLE]?: StreamHandle | null;
}

/** Bytes that one read may bring. */
const READ_BYTES = 64 * 1024;

/** All connections of a thread read into this, one after the other. */
const shared = Buffer.allocUnsafeSlow(READ_BYTES);

/**
 * Reads an accepted socket without allocating: Node otherwise makes a buffer of 64 KiB for every read, and freeing them
 * costs more than reading. Sockets can be made like that (`onread`), accepted ones cannot: so the connection is moved to
 * a new one. Where Node does not let it, and over TLS, the socket itself is read as usual.
 * @param accepted paused, from a server with `pauseOnConnect`
 * @param onBytes gets the bytes; they are written over when it returns
 * @returns the socket to use from now on
 */
export function readWithoutAllocating(accepted: Socket, onBytes: (chunk: Buffer) => void): Socket {
  const owner = accepted as unknown as HandleOwner;
  const handle = owner[HANDLE];
  if (accepted instanceof TLSSocket || typeof handle?.useUserBuffer !== 'function') {
    accepted.on('data', onBytes);
    accepted.resume();
    return accepted;
  }
  owner[HANDLE] = null;
  const options = {
    handle,
    allowHalfOpen: true,
    onread: {
      buffer: shared,
      callback: (bytes: number): boolean => {
        onBytes(shared.subarray(0, bytes));
        return true;
      },
    },
  };
  const socket = new Socket(options as unknown as SocketConstructorOpts);
  socket.setNoDelay(true);
  socket.resume();
  socket.read(0);
  return socket;
}

/** Bytes that may be kept: a copy when they lie in the buffer that is read into. */
export function kept(bytes: Buffer): Buffer {
  return bytes.buffer === shared.buffer ? Buffer.from(bytes) : bytes;
}
