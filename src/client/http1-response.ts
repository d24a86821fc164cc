import { ClientError } from './client-error.ts';

/** A whole response. */
export interface HttpResponse {
  readonly status: number;
  readonly headers: ReadonlyMap<string, string>;
  /** Good until the callback returns. */
  readonly body: Buffer;
}

interface Head {
  readonly status: number;
  readonly headers: ReadonlyMap<string, string>;
  readonly framing:
    | { readonly kind: 'length'; readonly length: number }
    | { readonly kind: 'chunked' }
    | { readonly kind: 'close' };
  readonly keepAlive: boolean;
}

const HEAD_END = Buffer.from('\r\n\r\n');
const MAX_HEAD_BYTES = 256 * 1024;
const EMPTY = Buffer.alloc(0);

type State =
  | { readonly kind: 'head' }
  | { readonly kind: 'body'; readonly head: Head; readonly buffer: Buffer; filled: number }
  | { readonly kind: 'chunk size'; readonly head: Head }
  | { readonly kind: 'chunk'; readonly head: Head; left: number }
  | { readonly kind: 'trailers'; readonly head: Head }
  | { readonly kind: 'until close'; readonly head: Head };

export interface ResponseEvents {
  /** The first bytes of a response have come. */
  began(): void;
  /** A piece of a chunked body, as it comes; good until the call returns. */
  piece(bytes: Buffer): void;
  done(response: HttpResponse, keepAlive: boolean): void;
}

/** Reads the responses on one connection, one after the other (RFC 9112). */
export class Http1ResponseReader {
  private readonly events: ResponseEvents;
  private state: State = { kind: 'head' };
  private ahead: Buffer = EMPTY;
  private pieces: Buffer[] = [];
  private begun = false;
  /** Servers send the same head again and again. */
  private lastText = '';
  private lastHead: Head | undefined;

  constructor(events: ResponseEvents) {
    this.events = events;
  }

  /**
   * @param chunk may be written over once this returns
   * @throws ClientError when it is no HTTP
   */
  push(chunk: Buffer): void {
    let bytes = this.ahead.length === 0 ? chunk : Buffer.concat([this.ahead, chunk]);
    this.ahead = EMPTY;
    if (!this.begun) {
      this.begun = true;
      this.events.began();
    }
    while (bytes.length > 0) {
      const rest = this.step(bytes);
      if (rest === undefined) {
        this.ahead = Buffer.from(bytes);
        return;
      }
      bytes = rest;
    }
  }

  /** The connection has ended: is that the end of the response, too? */
  close(): boolean {
    if (this.state.kind !== 'until close') return false;
    this.finish(this.state.head, Buffer.concat(this.pieces));
    return true;
  }

  /** @returns what is left; `undefined` when more is needed to go on */
  private step(bytes: Buffer): Buffer | undefined {
    const { state } = this;
    switch (state.kind) {
      case 'head':
        return this.readHead(bytes);
      case 'body': {
        const taken = bytes.copy(state.buffer, state.filled);
        state.filled += taken;
        if (state.filled === state.buffer.length) this.finish(state.head, state.buffer);
        return bytes.subarray(taken);
      }
      case 'chunk size': {
        const end = bytes.indexOf(0x0a);
        if (end < 0) return undefined;
        const size = Number.parseInt(bytes.toString('latin1', 0, end), 16);
        if (Number.isNaN(size)) throw new ClientError('protocol', 'the server sent a malformed chunk');
        this.state =
          size === 0 ? { kind: 'trailers', head: state.head } : { kind: 'chunk', head: state.head, left: size + 2 };
        return bytes.subarray(end + 1);
      }
      case 'chunk': {
        const taken = Math.min(bytes.length, state.left);
        const data = bytes.subarray(0, Math.min(taken, state.left - 2));
        if (state.left > 2 && data.length > 0) {
          this.events.piece(data);
          this.pieces.push(Buffer.from(data));
        }
        state.left -= taken;
        if (state.left === 0) this.state = { kind: 'chunk size', head: state.head };
        return bytes.subarray(taken);
      }
      case 'trailers': {
        const end = bytes.indexOf(0x0a);
        if (end < 0) return undefined;
        if (end <= 1) this.finish(state.head, Buffer.concat(this.pieces));
        return bytes.subarray(end + 1);
      }
      case 'until close':
        this.pieces.push(Buffer.from(bytes));
        return EMPTY;
      default:
        return state satisfies never;
    }
  }

  private readHead(bytes: Buffer): Buffer | undefined {
    const end = bytes.indexOf(HEAD_END);
    if (end < 0) {
      if (bytes.length > MAX_HEAD_BYTES) throw new ClientError('protocol', 'the server sent no end of headers');
      return undefined;
    }
    const text = bytes.toString('latin1', 0, end);
    if (text !== this.lastText || !this.lastHead) {
      this.lastHead = parseHead(text);
      this.lastText = text;
    }
    const head = this.lastHead;
    const rest = bytes.subarray(end + HEAD_END.length);
    // 100 Continue comes before the response.
    if (head.status < 200) return rest;
    const { framing } = head;
    if (framing.kind === 'chunked') this.state = { kind: 'chunk size', head };
    else if (framing.kind === 'close') this.state = { kind: 'until close', head };
    else if (rest.length >= framing.length) {
      this.finish(head, rest.subarray(0, framing.length));
      return rest.subarray(framing.length);
    } else this.state = { kind: 'body', head, buffer: Buffer.allocUnsafe(framing.length), filled: 0 };
    return rest;
  }

  private finish({ status, headers, keepAlive }: Head, body: Buffer): void {
    this.state = { kind: 'head' };
    this.pieces = [];
    this.begun = false;
    this.events.done({ status, headers, body }, keepAlive);
  }
}

function parseHead(text: string): Head {
  const [line = '', ...lines] = text.split('\r\n');
  const [, minor, statusText] = /^HTTP\/1\.(\d) (\d{3})/.exec(line) ?? [];
  if (statusText === undefined)
    throw new ClientError('protocol', `the server does not speak HTTP/1.1: '${line.slice(0, 80)}'`);
  const headers = new Map<string, string>();
  for (const field of lines) {
    const colon = field.indexOf(':');
    if (colon > 0) headers.set(field.slice(0, colon).toLowerCase(), field.slice(colon + 1).trim());
  }
  const status = Number(statusText);
  const length = headers.get('content-length');
  const bodiless = status < 200 || status === 204 || status === 304;
  const connection = headers.get('connection')?.toLowerCase() ?? '';
  return {
    status,
    headers,
    keepAlive: minor === '1' ? connection !== 'close' : connection === 'keep-alive',
    framing: bodiless
      ? { kind: 'length', length: 0 }
      : headers.get('transfer-encoding')?.toLowerCase() === 'chunked'
        ? { kind: 'chunked' }
        : length === undefined
          ? { kind: 'close' }
          : { kind: 'length', length: Number(length) },
  };
}
