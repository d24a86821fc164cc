/** The head of a request: its request line and headers, read strictly (RFC 9112), so that it has one meaning. */
export interface RequestHead {
  readonly method: string;
  /** As sent. */
  readonly target: string;
  /** Values by lower-case name; several of one name are joined. */
  readonly headers: ReadonlyMap<string, string>;
  /** Names as sent, each followed by its value. */
  readonly raw: readonly string[];
  readonly framing: Framing;
  /** HTTP/1.1 rather than 1.0. */
  readonly http11: boolean;
  /** The client wants to use the connection again. */
  readonly keepAlive: boolean;
  /** The client waits for `100 Continue` before it sends the body. */
  readonly expectsContinue: boolean;
}

/** How the body is delimited. */
export type Framing = { readonly kind: 'length'; readonly length: number } | { readonly kind: 'chunked' };

/** Why a message is refused; the connection is closed after that. */
export class MessageError extends Error {
  readonly status: number;

  constructor(status: number, message: string) {
    super(message);
    this.name = 'MessageError';
    this.status = status;
  }
}

/** Most headers of one message. */
export const MAX_HEADERS = 256;

/** The target is a path, a whole URL, or `*` (RFC 9112, section 3.2); no one connects through this server. */
const REQUEST_LINE = /^([!#$%&'*+\-.^_`|~0-9A-Za-z]+) (\/[\x21-\x7e]*|https?:\/\/[\x21-\x7e]+|\*) HTTP\/(\d)\.(\d)$/;
const HEADER = /^([!#$%&'*+\-.^_`|~0-9A-Za-z]+):[ \t]*(.*?)[ \t]*$/;
// oxlint-disable-next-line no-control-regex -- these are what it looks for
const FORBIDDEN = /[\x00-\x08\x0a-\x1f\x7f]/;

/** What may be there only once, since two would mean two things. */
const SINGLE: ReadonlySet<string> = new Set([
  'host',
  'content-length',
  'transfer-encoding',
  'content-encoding',
  'content-type',
  'authorization',
  'inference-header-content-length',
]);

/**
 * @param text everything before the empty line, as Latin-1
 * @throws MessageError with the status to answer
 */
export function parseHead(text: string): RequestHead {
  const lines = text.split('\r\n');
  const [, method = '', target = '', major = '', minor = ''] =
    REQUEST_LINE.exec(lines[0] ?? '') ?? refuse('request line');
  if (major !== '1' || minor > '1') throw new MessageError(505, `HTTP/${major}.${minor} is not supported`);
  const raw: string[] = [];
  const headers = new Map<string, string>();
  if (lines.length - 1 > MAX_HEADERS) {
    throw new MessageError(431, `the request has ${lines.length - 1} headers, at most ${MAX_HEADERS} are taken`);
  }
  for (let index = 1; index < lines.length; index++) {
    const line = lines[index] ?? '';
    const [name, value] = parseField(line, 'header');
    raw.push(name, value);
    const key = name.toLowerCase();
    const earlier = headers.get(key);
    if (earlier !== undefined && SINGLE.has(key)) throw new MessageError(400, `the request has two headers '${name}'`);
    headers.set(key, earlier === undefined ? value : `${earlier}, ${value}`);
  }
  if (minor === '1' && !headers.has('host')) throw new MessageError(400, "the request has no header 'Host'");
  const connection = (headers.get('connection') ?? '').toLowerCase();
  return {
    method,
    target,
    headers,
    raw,
    framing: framingOf(headers, minor),
    http11: minor === '1',
    keepAlive: minor === '1' ? !hasToken(connection, 'close') : hasToken(connection, 'keep-alive'),
    expectsContinue: expectation(headers, minor),
  };
}

/**
 * Name and value of a field, in a head or among the trailers.
 * @param line without its end
 * @throws MessageError naming `part` when it is malformed
 */
export function parseField(line: string, part: string): readonly [name: string, value: string] {
  const [, name = '', value = ''] = FORBIDDEN.test(line) ? refuse(part) : (HEADER.exec(line) ?? refuse(part));
  return [name, value];
}

function refuse(part: string): never {
  throw new MessageError(400, `malformed ${part}`);
}

function framingOf(headers: ReadonlyMap<string, string>, minor: string): Framing {
  const coding = headers.get('transfer-encoding');
  const length = headers.get('content-length');
  if (coding !== undefined) {
    // Whoever sends both, or chunks to a server of HTTP/1.0, wants two readers to see two messages.
    if (length !== undefined) throw new MessageError(400, 'the request has Transfer-Encoding and Content-Length');
    if (minor === '0') throw new MessageError(400, 'HTTP/1.0 has no Transfer-Encoding');
    if (coding.toLowerCase() !== 'chunked') {
      throw new MessageError(501, `Transfer-Encoding '${coding}' is not supported, only chunked is`);
    }
    return { kind: 'chunked' };
  }
  if (length === undefined) return { kind: 'length', length: 0 };
  if (!/^\d{1,15}$/.test(length)) throw new MessageError(400, `Content-Length must be a number, got '${length}'`);
  return { kind: 'length', length: Number(length) };
}

function expectation(headers: ReadonlyMap<string, string>, minor: string): boolean {
  const expect = headers.get('expect');
  if (expect === undefined || minor === '0') return false;
  if (expect.toLowerCase() === '100-continue') return true;
  throw new MessageError(417, `expectation '${expect}' cannot be met`);
}

function hasToken(list: string, token: string): boolean {
  return list.split(',').some((part) => part.trim() === token);
}
