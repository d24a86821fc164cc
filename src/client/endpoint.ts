import { connect, type Socket } from 'node:net';
import { connect as connectTls, type TLSSocket } from 'node:tls';
import { ClientError } from './client-error.ts';

/** How to trust a server, and how to be trusted by it. PEM texts. */
export interface ClientTls {
  readonly authorities?: Buffer | undefined;
  readonly cert?: Buffer | undefined;
  readonly key?: Buffer | undefined;
  /** Takes any certificate. */
  readonly anyCertificate?: boolean | undefined;
  /** Takes a certificate for any name. */
  readonly anyName?: boolean | undefined;
}

/** Where a server listens. */
export interface Endpoint {
  readonly host: string;
  readonly port: number;
  readonly tls: ClientTls | undefined;
}

const URL_PATTERN = /^(?:([a-z]+):\/\/)?(\[[0-9a-fA-F:.]+\]|[^/:\s]+)(?::(\d{1,5}))?\/*$/;

/**
 * Reads `HOST`, `HOST:PORT`, `[V6]:PORT`, or the same behind `http://`, `https://`, `grpc://` or `grpcs://`.
 * @param tls used for `https` and `grpcs`, and without a scheme when it is given
 * @throws ClientError when it is none of these
 */
export function parseEndpoint(url: string, defaultPort: number, tls?: ClientTls): Endpoint {
  const [, scheme, name = '', portText] = URL_PATTERN.exec(url) ?? [];
  const port = portText === undefined ? defaultPort : Number(portText);
  if (name === '' || port > 65_535 || (scheme !== undefined && !/^(https?|grpcs?)$/.test(scheme))) {
    throw new ClientError(
      'connect',
      `'${url}' is no address of a server: HOST:PORT, with http:// or https:// before it at most`,
    );
  }
  const secure = scheme === 'https' || scheme === 'grpcs' || (scheme === undefined && tls !== undefined);
  return { host: name.replace(/^\[|\]$/g, ''), port, tls: secure ? (tls ?? {}) : undefined };
}

/** All connections of a thread read into this, one after the other: a buffer for each read would cost more than it. */
const shared = Buffer.allocUnsafeSlow(64 * 1024);

/**
 * Opens a connection.
 * @param onBytes gets what comes; the bytes are written over once it returns
 * @throws ClientError
 */
export function openSocket(
  endpoint: Endpoint,
  protocol: 'http/1.1' | 'h2',
  onBytes: (bytes: Buffer) => void,
): Promise<Socket> {
  const { host, port, tls } = endpoint;
  return new Promise((resolve, reject) => {
    const failed = (error: Error): void =>
      reject(new ClientError('connect', `cannot connect to ${host}:${port}: ${error.message || String(error)}`));
    if (tls) {
      const socket: TLSSocket = connectTls({
        host,
        port,
        ALPNProtocols: [protocol],
        rejectUnauthorized: !tls.anyCertificate,
        ...(tls.authorities ? { ca: tls.authorities } : {}),
        ...(tls.cert ? { cert: tls.cert } : {}),
        ...(tls.key ? { key: tls.key } : {}),
        ...(tls.anyName ? { checkServerIdentity: () => undefined } : {}),
      });
      socket.on('data', onBytes);
      begin(socket, 'secureConnect');
      return;
    }
    const callback = (bytes: number): boolean => {
      onBytes(shared.subarray(0, bytes));
      return true;
    };
    begin(connect({ host, port, noDelay: true, onread: { buffer: shared, callback } }), 'connect');

    function begin(socket: Socket, event: string): void {
      socket.once('error', failed);
      socket.once(event, () => {
        socket.off('error', failed);
        socket.setNoDelay(true);
        resolve(socket);
      });
    }
  });
}
