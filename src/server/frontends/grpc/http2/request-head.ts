import { ErrorCode, type HeaderList, Http2Error } from '../../../../protocol/http2/index.ts';

/** The head of a request. */
export interface RequestHead {
  readonly method: string;
  readonly path: string;
  /** Values by lower-case name, those of HTTP/2 itself excluded; values of one name are joined. */
  readonly headers: ReadonlyMap<string, string>;
  /** Bytes that the body will have, when the client said so. */
  readonly contentLength: number | undefined;
}

const PSEUDO: ReadonlySet<string> = new Set([':method', ':scheme', ':path', ':authority']);

/** Headers of HTTP/1.1 connections have no place in HTTP/2 (RFC 9113, section 8.2.2). */
const CONNECTION_HEADERS: ReadonlySet<string> = new Set([
  'connection',
  'keep-alive',
  'proxy-connection',
  'transfer-encoding',
  'upgrade',
]);

/** Characters of names (RFC 9110, section 5.6.2) that HTTP/2 allows. */
const NAME = /^[!#$%&'*+\-.^_`|~0-9a-z]+$/;

// oxlint-disable-next-line no-control-regex -- these are just the characters that must not be there
const BAD_VALUE = /[\0\r\n]|^[ \t]|[ \t]$/;

/** Reads the heads of a connection's requests: clients send the same again and again. */
export class RequestHeads {
  private lastList: HeaderList | undefined;
  private lastHead: RequestHead | undefined;

  /**
   * A decoded header block as the head of a request.
   * @throws Http2Error (PROTOCOL_ERROR) when it is malformed
   */
  parse(list: HeaderList): RequestHead {
    if (this.lastHead && this.lastList === list) return this.lastHead;
    const head = parseRequestHead(list);
    this.lastList = list;
    this.lastHead = head;
    return head;
  }
}

function parseRequestHead({ fields }: HeaderList): RequestHead {
  const pseudo = new Map<string, string>();
  const headers = new Map<string, string>();
  for (let index = 0; index + 1 < fields.length; index += 2) {
    const name = fields[index] ?? '';
    const value = fields[index + 1] ?? '';
    if (name.startsWith(':')) {
      if (!PSEUDO.has(name)) throw malformed(`'${name}' is no field of a request`);
      if (pseudo.has(name)) throw malformed(`'${name}' comes twice`);
      if (headers.size > 0) throw malformed(`'${name}' comes after other headers`);
      pseudo.set(name, value);
      continue;
    }
    checkField(name, value);
    const before = headers.get(name);
    headers.set(name, before === undefined ? value : `${before}${name === 'cookie' ? '; ' : ', '}${value}`);
  }
  const method = pseudo.get(':method');
  const path = pseudo.get(':path');
  if (!method || !path || !pseudo.get(':scheme')) throw malformed("':method', ':scheme' and ':path' are required");
  return { method, path, headers, contentLength: parseLength(headers.get('content-length')) };
}

/**
 * Checks the header block that ends a request.
 * @throws Http2Error (PROTOCOL_ERROR) when it is malformed
 */
export function checkTrailers({ fields }: HeaderList): void {
  for (let index = 0; index + 1 < fields.length; index += 2) checkField(fields[index] ?? '', fields[index + 1] ?? '');
}

function checkField(name: string, value: string): void {
  if (!NAME.test(name)) throw malformed(`'${name}' cannot be the name of a header`);
  if (BAD_VALUE.test(value)) throw malformed(`the value of '${name}' has characters that it must not have`);
  if (CONNECTION_HEADERS.has(name)) throw malformed(`'${name}' has no meaning in HTTP/2`);
  if (name === 'te' && value !== 'trailers') throw malformed(`'te' must be 'trailers', not '${value}'`);
}

function parseLength(value: string | undefined): number | undefined {
  if (value === undefined) return undefined;
  if (!/^\d{1,15}$/.test(value)) throw malformed(`'${value}' is no content-length`);
  return Number(value);
}

function malformed(why: string): Http2Error {
  return new Http2Error(ErrorCode.PROTOCOL_ERROR, `malformed request: ${why}`);
}
