import type { Socket } from 'node:net';
import { errorMessage, type Logger, systemClock } from '../../../../core/index.ts';
import {
  errorReply,
  type HttpHandler,
  type HttpReply,
  type HttpRequest,
  type HttpStreamReply,
  TEXT_TYPE,
} from '../../exchange.ts';
import { kept, readWithoutAllocating } from '../../shared-read-buffer.ts';
import { Turns } from '../../turns.ts';
import type { BodyPool } from '../body-pool.ts';
import { BodyError, compress, decompress, wantsCompression } from '../content-coding.ts';
import { type BodyReader, createBodyReader, type ReceivedBody } from './body-reader.ts';
import { MessageError, parseHead, type RequestHead } from './head.ts';
import { writeReply, writeStream } from './response-writer.ts';

/** Most bytes of a request line with its headers. */
export const MAX_HEAD_BYTES = 64 * 1024;

/** Most bytes of further requests that are kept while one is answered. */
const MAX_AHEAD_BYTES = 256 * 1024;

/** Seconds: for a head to come in, for a whole request, between requests, and for a refused body to be read over. */
export const HEAD_SECONDS = 60;
export const REQUEST_SECONDS = 300;
export const IDLE_SECONDS = 75;
const LINGER_SECONDS = 2;

/** What a connection is doing. */
type State =
  | { readonly kind: 'idle' }
  | { readonly kind: 'head' }
  | { readonly kind: 'body'; readonly head: RequestHead; readonly reader: BodyReader; readonly arrivedAt: number }
  /** A request is being answered; `keepAlive` says what becomes of the connection then. */
  | { readonly kind: 'answering'; readonly head: RequestHead; answered: boolean }
  /** An answer went out before the request was read: what is left of it is read over. */
  | { readonly kind: 'lingering' }
  | { readonly kind: 'closed' };

export interface ConnectionOptions {
  readonly handler: HttpHandler;
  readonly maxInputBytes: number;
  readonly pool: BodyPool;
  readonly logger: Logger;
}

const EMPTY = Buffer.alloc(0);
const HEAD_END = Buffer.from('\r\n\r\n');
const CONTINUE = 'HTTP/1.1 100 Continue\r\n\r\n';

/** One client's connection: requests one after the other, each answered before the next is looked at. */
export class Connection {
  private readonly socket: Socket;
  private readonly turns: Turns;
  private readonly options: ConnectionOptions;
  private state: State = { kind: 'idle' };
  /** Seconds that the state may still last. */
  private left = IDLE_SECONDS;
  /** Bytes that have not been looked at, or belong to later requests. */
  private ahead: Buffer = EMPTY;
  private cancel: (() => void) | undefined;
  /** Frees what the response that is being written lies in. */
  private release: (() => void) | undefined;
  private stopping = false;
  /** Clients send the same head again and again. */
  private lastText = '';
  private lastHead: RequestHead | undefined;

  /** @param accepted paused */
  constructor(accepted: Socket, options: ConnectionOptions) {
    this.options = options;
    const socket = readWithoutAllocating(accepted, (chunk) => this.received(chunk));
    this.socket = socket;
    this.turns = new Turns(socket);
    socket.on('end', () => this.ended());
    socket.on('error', () => undefined);
    socket.on('close', () => this.closed());
  }

  /** A second has passed. */
  tick(): void {
    this.left--;
    if (this.left > 0 || this.state.kind === 'answering' || this.state.kind === 'closed') return;
    if (this.state.kind === 'head' || this.state.kind === 'body') this.refuse(new MessageError(408, 'Request Timeout'));
    else this.socket.destroy();
  }

  /** Calls back once the connection is gone. */
  onClose(callback: () => void): void {
    this.socket.once('close', callback);
  }

  /** No further request is taken; what is being answered is answered. */
  stop(): void {
    this.stopping = true;
    if (this.state.kind !== 'answering') this.socket.destroy();
  }

  destroy(): void {
    this.socket.destroy();
  }

  private received(chunk: Buffer): void {
    const { state } = this;
    if (state.kind === 'lingering' || state.kind === 'closed') return;
    if (state.kind === 'body') {
      this.takeBody(state, chunk);
      this.turns.took(chunk.length);
    } else {
      this.ahead = this.ahead.length === 0 ? chunk : Buffer.concat([this.ahead, chunk]);
      if (state.kind !== 'answering') this.next();
      else if (this.ahead.length > MAX_AHEAD_BYTES) this.socket.pause();
    }
    this.ahead = kept(this.ahead);
  }

  /** Looks for a request in what has come in. */
  private next(): void {
    let { ahead } = this;
    // Empty lines before a request are allowed.
    let start = 0;
    while (ahead[start] === 0x0d && ahead[start + 1] === 0x0a) start += 2;
    if (start > 0) ahead = ahead.subarray(start);
    this.ahead = ahead;
    if (ahead.length === 0) {
      this.enter({ kind: 'idle' }, IDLE_SECONDS);
      return;
    }
    const end = ahead.indexOf(HEAD_END);
    if (end > MAX_HEAD_BYTES || (end < 0 && ahead.length > MAX_HEAD_BYTES)) {
      this.refuse(new MessageError(431, `the head of the request is longer than ${MAX_HEAD_BYTES} bytes`));
      return;
    }
    if (end < 0) {
      if (this.state.kind !== 'head') this.enter({ kind: 'head' }, HEAD_SECONDS);
      return;
    }
    const rest = ahead.subarray(end + HEAD_END.length);
    this.ahead = EMPTY;
    try {
      this.takeHead(ahead.toString('latin1', 0, end), rest);
    } catch (error) {
      this.refuse(error);
    }
  }

  private takeHead(text: string, rest: Buffer): void {
    if (text !== this.lastText || !this.lastHead) {
      this.lastHead = parseHead(text);
      this.lastText = text;
    }
    const head = this.lastHead;
    const arrivedAt = systemClock.now();
    const reader = createBodyReader(head.framing, this.options.maxInputBytes, this.options.pool);
    if (reader.received) {
      this.ahead = rest;
      this.dispatch(head, reader.received, arrivedAt);
      return;
    }
    const state = { kind: 'body', head, reader, arrivedAt } as const;
    this.enter(state, REQUEST_SECONDS);
    if (rest.length > 0) this.takeBody(state, rest);
    else if (head.expectsContinue) this.socket.write(CONTINUE, 'latin1');
  }

  private takeBody(state: State & { readonly kind: 'body' }, chunk: Buffer): void {
    try {
      const taken = state.reader.take(chunk);
      if (!state.reader.received) return;
      this.ahead = taken === chunk.length ? EMPTY : chunk.subarray(taken);
      this.dispatch(state.head, state.reader.received, state.arrivedAt);
    } catch (error) {
      this.refuse(error);
    }
  }

  private dispatch(head: RequestHead, { body, pooled }: ReceivedBody, arrivedAt: number): void {
    const state: State & { readonly kind: 'answering' } = { kind: 'answering', head, answered: false };
    this.enter(state, 0);
    const giveBack = pooled ? (): void => this.options.pool.giveBack(pooled) : undefined;
    const reply = (answer: HttpReply | HttpStreamReply): void => this.answer(state, answer, giveBack);
    const encoding = head.headers.get('content-encoding');
    if (encoding === undefined || encoding === 'identity') {
      this.handle(new Http1Request(head, body, arrivedAt), reply);
      return;
    }
    decompress(body, encoding, this.options.maxInputBytes).then(
      (plain) => this.handle(new Http1Request(head, plain, arrivedAt), reply),
      (error: unknown) => this.refuse(error),
    );
  }

  private handle(request: HttpRequest, reply: (answer: HttpReply | HttpStreamReply) => void): void {
    if (this.state.kind === 'closed') return;
    try {
      const cancel = this.options.handler(request, reply);
      if (this.state.kind === 'answering') this.cancel = cancel;
    } catch (error) {
      this.options.logger.error(`HTTP handler failed: ${errorMessage(error)}`);
      reply(errorReply(500, errorMessage(error)));
    }
  }

  private answer(
    state: State & { readonly kind: 'answering' },
    reply: HttpReply | HttpStreamReply,
    giveBack: (() => void) | undefined,
  ): void {
    if (state.answered || this.state !== state) {
      if (!('start' in reply)) reply.release?.();
      return;
    }
    state.answered = true;
    const { head } = state;
    const options = {
      keepAlive: head.keepAlive && !this.stopping,
      headOnly: head.method === 'HEAD',
      chunked: head.http11,
    };
    const done = (): void => {
      this.free();
      giveBack?.();
      this.finished(options.keepAlive && (!('start' in reply) || options.chunked));
    };
    if ('start' in reply) {
      writeStream(this.socket, reply, options, done);
      return;
    }
    this.release = reply.release;
    const accepts = head.headers.get('accept-encoding');
    if (accepts === undefined || !wantsCompression(accepts)) {
      writeReply(this.socket, reply, options, done);
      return;
    }
    void compress(accepts, reply).then((packed) => {
      if (this.state === state) writeReply(this.socket, packed, options, done);
    });
  }

  private finished(keepAlive: boolean): void {
    this.cancel = undefined;
    if (this.state.kind !== 'answering') return;
    if (!keepAlive || this.stopping) {
      this.enter({ kind: 'lingering' }, LINGER_SECONDS);
      this.socket.end();
      return;
    }
    if (this.socket.isPaused()) this.socket.resume();
    this.enter({ kind: 'idle' }, IDLE_SECONDS);
    if (this.ahead.length > 0) {
      // Behind the answer that is being written now: a client that sends many requests at once is no recursion.
      setImmediate(() => this.state.kind === 'idle' && this.next());
    }
  }

  /** Answers a request that cannot be read, and closes the connection. */
  private refuse(thrown: unknown): void {
    if (this.state.kind === 'closed') return;
    const status = thrown instanceof BodyError || thrown instanceof MessageError ? thrown.status : 500;
    const answer = errorReply(status, errorMessage(thrown), TEXT_TYPE);
    const reply: HttpReply = status === 501 ? { ...answer, headers: [['Accept-Encoding', 'gzip, deflate']] } : answer;
    this.enter({ kind: 'lingering' }, LINGER_SECONDS);
    this.ahead = EMPTY;
    writeReply(this.socket, reply, { keepAlive: false, headOnly: false, chunked: false }, () => this.socket.end());
  }

  /** The client sends no more: a request that waits for its answer is given up, as its client is. */
  private ended(): void {
    this.socket.end();
    if (this.state.kind === 'answering' && !this.state.answered) this.giveUp();
  }

  private closed(): void {
    const { state } = this;
    this.state = { kind: 'closed' };
    if (state.kind === 'answering') this.giveUp();
    this.free();
  }

  private giveUp(): void {
    const { cancel } = this;
    this.cancel = undefined;
    cancel?.();
  }

  private free(): void {
    const { release } = this;
    this.release = undefined;
    release?.();
  }

  private enter(state: State, seconds: number): void {
    this.state = state;
    this.left = seconds;
  }
}

/** A request as handlers see it. */
class Http1Request implements HttpRequest {
  private readonly head: RequestHead;
  readonly body: Uint8Array;
  readonly arrivedAt: number;
  readonly readAt = systemClock.now();

  constructor(head: RequestHead, body: Uint8Array, arrivedAt: number) {
    this.head = head;
    this.body = body;
    this.arrivedAt = arrivedAt;
  }

  get method(): string {
    return this.head.method;
  }

  get target(): string {
    return this.head.target;
  }

  header(name: string): string | undefined {
    return this.head.headers.get(name);
  }

  *headers(): Iterable<readonly [string, string]> {
    const { raw } = this.head;
    for (let index = 0; index + 1 < raw.length; index += 2) yield [raw[index] ?? '', raw[index + 1] ?? ''];
  }
}
