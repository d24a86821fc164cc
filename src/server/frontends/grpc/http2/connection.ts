import type { Socket } from 'node:net';
import {
  DEFAULT_MAX_FRAME,
  ErrorCode,
  Flag,
  FrameReader,
  type FrameSink,
  FrameType,
  goawayFrame,
  type HeaderList,
  Http2Error,
  MAX_WINDOW,
  pingFrame,
  resetFrame,
  settingsAck,
  windowUpdateFrame,
} from '../../../../protocol/http2/index.ts';
import { readWithoutAllocating } from '../../shared-read-buffer.ts';
import { Turns } from '../../turns.ts';
import { FloodGuard } from './flood-guard.ts';
import { requireConnection, requireLength, requireStream } from './frame-checks.ts';
import { dependsOn, type HeaderBlock, HeaderBlocks } from './header-blocks.ts';
import { Output } from './output.ts';
import { PrefaceError, PrefaceReader } from './preface.ts';
import { Pings } from './pings.ts';
import { ReceiveWindow } from './receive-window.ts';
import type { ConnectionEvents } from './connection-events.ts';
import { CONNECTION_WINDOW, GREETING, MAX_STREAMS } from './own-settings.ts';
import { applySettings } from './peer-settings.ts';
import { checkTrailers, type RequestHead, RequestHeads } from './request-head.ts';
import { Sender } from './sender.ts';
import { StreamTable } from './stream-table.ts';
import { Http2Stream, type StreamHost } from './stream.ts';

/** Answers that wait for slow readers, beyond which no further request is taken. */
const MAX_UNSENT_BYTES = 512 * 1024 * 1024;

/** Seconds that the beginning of a connection, or of a header block, may take to come in. */
export const HANDSHAKE_SECONDS = 60;

/** How long a client has to read what was sent when the connection is ended. */
const LINGER_MS = 1000;

/** What a connection is doing. */
type Phase =
  | { readonly kind: 'preface'; readonly reader: PrefaceReader }
  /** The first frame, which must be SETTINGS, is awaited. */
  | { readonly kind: 'settings' }
  | { readonly kind: 'open' }
  /** No further streams are taken; it ends with the last one. */
  | { readonly kind: 'draining'; readonly lastStream: number }
  | { readonly kind: 'closed' };

/** An HTTP/2 connection of one client (RFC 9113), the server's side. */
export class Http2Connection implements FrameSink, StreamHost {
  private readonly socket: Socket;
  private readonly events: ConnectionEvents;
  private readonly output: Output;
  readonly sender: Sender;
  private readonly reader = new FrameReader(this, DEFAULT_MAX_FRAME);
  private readonly blocks = new HeaderBlocks();
  private readonly guard = new FloodGuard();
  private readonly streams = new StreamTable();
  private phase: Phase = { kind: 'preface', reader: new PrefaceReader() };
  private readonly receiveWindow = new ReceiveWindow(CONNECTION_WINDOW);
  private readonly turns: Turns;
  /** Seconds that an unfinished beginning may still take. */
  private left = HANDSHAKE_SECONDS;
  /** The stream whose DATA frame is being read. */
  private reading: Http2Stream | undefined;
  private readonly pings = new Pings();
  private readonly heads = new RequestHeads();

  /** @param accepted paused */
  constructor(accepted: Socket, events: ConnectionEvents) {
    this.events = events;
    const socket = readWithoutAllocating(accepted, (chunk) => this.received(chunk));
    this.socket = socket;
    this.turns = new Turns(socket);
    this.output = new Output(socket);
    this.sender = new Sender(this.output, (stream) => this.ended(stream));
    socket.on('end', () => socket.end());
    socket.on('error', () => undefined);
    socket.on('drain', () => this.sender.resume());
    socket.on('close', () => this.gone());
  }

  /** Requests in progress. */
  get active(): number {
    return this.streams.size;
  }

  /** A second has passed. */
  tick(): void {
    this.guard.tick();
    const unfinished = this.phase.kind === 'preface' || this.phase.kind === 'settings' || this.blocks.open;
    if (!unfinished) this.left = HANDSHAKE_SECONDS;
    else if (--this.left <= 0) this.socket.destroy();
  }

  /** Asks whether the client is there. */
  ping(answered: () => void): void {
    this.output.write(this.pings.ask(answered));
  }

  /** Tells the client to open no more streams, and ends the connection once those it has are answered. */
  stop(): void {
    if (this.phase.kind !== 'open') {
      if (this.phase.kind !== 'draining') this.socket.destroy();
      return;
    }
    // Streams that are on their way are still taken: the client knows only when it has answered.
    this.phase = { kind: 'draining', lastStream: MAX_WINDOW };
    this.output.write(goawayFrame(MAX_WINDOW, ErrorCode.NO_ERROR));
    this.ping(() => {
      if (this.phase.kind !== 'draining') return;
      this.phase = { kind: 'draining', lastStream: this.streams.lastId };
      this.output.write(goawayFrame(this.streams.lastId, ErrorCode.NO_ERROR));
      this.endWhenDrained();
    });
  }

  /** Ends the connection, whatever goes on. */
  shut(code: ErrorCode, reason: string): void {
    if (this.phase.kind === 'closed') return;
    this.phase = { kind: 'closed' };
    this.reader.stop();
    this.output.hold();
    this.output.write(goawayFrame(this.streams.lastId, code, reason));
    this.output.release();
    this.socket.end();
    // What the client still sends is read over, or it would not get to read why.
    setTimeout(() => this.socket.destroy(), LINGER_MS).unref();
    this.dropStreams();
  }

  destroy(): void {
    this.socket.destroy();
  }

  // Bytes and frames from the client.

  private received(chunk: Buffer): void {
    if (this.phase.kind === 'closed') return;
    this.output.hold();
    try {
      const bytes = this.phase.kind === 'preface' ? this.readPreface(this.phase.reader, chunk) : chunk;
      if (bytes) this.reader.push(bytes);
    } catch (error) {
      this.fail(error);
    }
    this.output.release();
  }

  /** @returns what follows the preface; `undefined` while it is incomplete */
  private readPreface(reader: PrefaceReader, chunk: Buffer): Buffer | undefined {
    const rest = reader.push(chunk);
    if (!rest) return undefined;
    this.phase = { kind: 'settings' };
    this.output.write(GREETING);
    return rest;
  }

  frame(type: number, flags: number, stream: number, payload: Buffer): void {
    if (this.phase.kind === 'settings') {
      if (type !== FrameType.SETTINGS || flags & Flag.ACK) throw notSettings();
      this.phase = { kind: 'open' };
    }
    if (this.blocks.open && type !== FrameType.CONTINUATION) {
      throw new Http2Error(ErrorCode.PROTOCOL_ERROR, `a frame of type ${type} comes in the middle of a header block`);
    }
    switch (type) {
      case FrameType.HEADERS:
        this.headers(this.blocks.begin(flags, stream, payload));
        return;
      case FrameType.CONTINUATION:
        this.headers(this.blocks.continue(flags, stream, payload));
        return;
      case FrameType.PRIORITY:
        this.guard.idleFrame();
        requireLength('PRIORITY', payload, 5);
        requireStream('PRIORITY', stream);
        if (dependsOn(payload, 0) === stream) this.failStream(stream, dependency());
        return;
      case FrameType.RST_STREAM:
        this.resetByClient(stream, payload);
        return;
      case FrameType.SETTINGS:
        this.guard.idleFrame();
        this.settings(flags, stream, payload);
        return;
      case FrameType.PING:
        this.guard.idleFrame();
        this.pinged(flags, stream, payload);
        return;
      case FrameType.WINDOW_UPDATE:
        this.windowUpdate(stream, payload);
        return;
      case FrameType.GOAWAY:
        requireConnection('GOAWAY', stream);
        this.stop();
        return;
      case FrameType.PUSH_PROMISE:
        throw new Http2Error(ErrorCode.PROTOCOL_ERROR, 'a client cannot send PUSH_PROMISE');
      default:
        this.guard.idleFrame();
    }
  }

  dataHead(id: number, length: number, ended: boolean): void {
    if (this.phase.kind === 'settings') throw notSettings();
    if (this.blocks.open) throw new Http2Error(ErrorCode.PROTOCOL_ERROR, 'DATA comes in the middle of a header block');
    requireStream('DATA', id);
    this.streams.requireUsed('DATA', id);
    if (length === 0 && !ended) this.guard.idleFrame();
    this.countReceived(length);
    const stream = this.streams.get(id);
    this.reading = undefined;
    if (!stream || stream.remote !== 'open') {
      if (!this.streams.endedLately(id)) this.resetById(id, ErrorCode.STREAM_CLOSED);
      return;
    }
    if (!stream.receiveWindow.take(length)) {
      this.reset(stream, ErrorCode.FLOW_CONTROL_ERROR);
      return;
    }
    this.reading = stream;
    if (ended) stream.remote = 'ending';
    stream.allowMore();
  }

  data(piece: Buffer): void {
    const stream = this.reading;
    if (!stream || stream.closed) return;
    stream.received += piece.length;
    if (stream.announced !== undefined && stream.received > stream.announced) {
      this.reset(stream, ErrorCode.PROTOCOL_ERROR);
      return;
    }
    stream.handler?.data(piece);
    this.turns.took(piece.length);
  }

  dataEnd(ended: boolean): void {
    const stream = this.reading;
    this.reading = undefined;
    if (stream && !stream.closed && ended) this.remoteEnded(stream);
  }

  /** Keeps the connection's window open: its bytes are read at once, wherever they go. */
  private countReceived(length: number): void {
    if (!this.receiveWindow.take(length)) {
      throw new Http2Error(ErrorCode.FLOW_CONTROL_ERROR, 'the client sends more than the connection allows');
    }
    const more = this.receiveWindow.refill();
    if (more > 0) this.output.write(windowUpdateFrame(0, more));
  }

  private headers(block: HeaderBlock | undefined): void {
    if (!block) return;
    const { stream: id, endStream, list } = block;
    const stream = this.streams.get(id);
    if (stream) this.trailers(stream, endStream, list);
    else if (!this.streams.endedLately(id)) {
      this.streams.use(id);
      this.openStream(id, endStream, list);
    }
    if (block.selfDependent) this.failStream(id, dependency());
  }

  private trailers(stream: Http2Stream, endStream: boolean, list: HeaderList): void {
    if (stream.remote !== 'open') {
      throw new Http2Error(ErrorCode.STREAM_CLOSED, `HEADERS come after the end of stream ${stream.id}`);
    }
    try {
      if (!endStream) throw new Http2Error(ErrorCode.PROTOCOL_ERROR, 'trailers do not end the stream');
      checkTrailers(list);
    } catch (error) {
      this.failStream(stream.id, error);
      return;
    }
    this.remoteEnded(stream);
  }

  private openStream(id: number, endStream: boolean, list: HeaderList): void {
    const { phase } = this;
    if (phase.kind === 'draining' && id > phase.lastStream) {
      this.streams.remember(id);
      return;
    }
    if (this.streams.size >= MAX_STREAMS || (this.output.congested && this.streams.unsentBytes() > MAX_UNSENT_BYTES)) {
      this.resetById(id, ErrorCode.REFUSED_STREAM);
      return;
    }
    let head: RequestHead;
    try {
      head = this.heads.parse(list);
    } catch (error) {
      this.failStream(id, error);
      return;
    }
    const stream = new Http2Stream(id, this, this.sender.initialWindow, head.contentLength);
    this.streams.add(stream);
    if (list.tooLarge) {
      stream.respond([':status', '431'], true);
      return;
    }
    stream.handler = this.events.request(stream, head);
    if (endStream && !stream.closed) this.remoteEnded(stream);
  }

  private remoteEnded(stream: Http2Stream): void {
    if (stream.announced !== undefined && stream.received !== stream.announced) {
      this.reset(stream, ErrorCode.PROTOCOL_ERROR);
      return;
    }
    stream.remote = 'ended';
    stream.handler?.end();
  }

  private resetByClient(id: number, payload: Buffer): void {
    requireLength('RST_STREAM', payload, 4);
    requireStream('RST_STREAM', id);
    this.streams.requireUsed('RST_STREAM', id);
    const stream = this.streams.get(id);
    if (!stream) return;
    this.close(stream);
    this.guard.reset();
  }

  private settings(flags: number, stream: number, payload: Buffer): void {
    requireConnection('SETTINGS', stream);
    if (flags & Flag.ACK) {
      requireLength('SETTINGS with ACK', payload, 0);
      return;
    }
    const settings = applySettings(this.sender.settings, payload);
    this.output.write(settingsAck());
    this.sender.adopt(settings, this.streams.values());
  }

  private pinged(flags: number, stream: number, payload: Buffer): void {
    requireConnection('PING', stream);
    requireLength('PING', payload, 8);
    if (flags & Flag.ACK) {
      this.pings.answered(payload);
      return;
    }
    this.output.write(pingFrame(payload, true));
    this.events.pinged();
  }

  private windowUpdate(id: number, payload: Buffer): void {
    requireLength('WINDOW_UPDATE', payload, 4);
    const increment = payload.readUInt32BE() & MAX_WINDOW;
    if (id === 0) {
      if (increment === 0) throw new Http2Error(ErrorCode.PROTOCOL_ERROR, 'WINDOW_UPDATE adds nothing');
      this.sender.widenConnection(increment);
      return;
    }
    this.streams.requireUsed('WINDOW_UPDATE', id);
    const stream = this.streams.get(id);
    if (!stream) return;
    try {
      if (increment === 0) throw new Http2Error(ErrorCode.PROTOCOL_ERROR, 'WINDOW_UPDATE adds nothing');
      this.sender.widenStream(stream, increment);
    } catch (error) {
      this.failStream(id, error);
    }
  }

  // Answers: what streams ask of their connection.

  /** All of the answer is on its way. A client that goes on sending is told to stop. */
  ended(stream: Http2Stream): void {
    if (stream.remote === 'open') this.output.write(resetFrame(stream.id, ErrorCode.NO_ERROR));
    if (stream.remote !== 'ended') this.streams.remember(stream.id);
    this.close(stream);
  }

  reset(stream: Http2Stream, code: ErrorCode): void {
    this.resetById(stream.id, code);
    this.close(stream);
  }

  private resetById(id: number, code: ErrorCode): void {
    this.output.write(resetFrame(id, code));
    this.streams.remember(id);
    this.guard.reset();
  }

  private close(stream: Http2Stream): void {
    if (stream.closed) return;
    stream.closed = true;
    this.streams.delete(stream);
    this.sender.forget(stream);
    stream.handler?.closed(stream.local === 'ended');
    this.endWhenDrained();
  }

  private endWhenDrained(): void {
    const { phase } = this;
    if (phase.kind !== 'draining' || phase.lastStream === MAX_WINDOW || this.streams.size > 0) return;
    this.shut(ErrorCode.NO_ERROR, '');
  }

  /** Ends the connection for an error that concerns all of it. */
  private fail(error: unknown): void {
    this.events.broken(error);
    if (error instanceof PrefaceError) {
      this.phase = { kind: 'closed' };
      this.socket.end(error.answer ?? '');
      return;
    }
    if (error instanceof Http2Error) this.shut(error.code, error.message);
    else this.shut(ErrorCode.INTERNAL_ERROR, 'internal error');
  }

  private failStream(id: number, error: unknown): void {
    if (!(error instanceof Http2Error)) throw error;
    this.events.broken(error);
    const stream = this.streams.get(id);
    if (stream) this.reset(stream, error.code);
    else if (!this.streams.endedLately(id)) this.resetById(id, error.code);
  }

  private dropStreams(): void {
    for (const stream of this.streams.values()) this.close(stream);
  }

  private gone(): void {
    this.phase = { kind: 'closed' };
    this.reader.stop();
    this.dropStreams();
    this.events.closed();
  }
}

function dependency(): Http2Error {
  return new Http2Error(ErrorCode.PROTOCOL_ERROR, 'a stream depends on itself');
}

function notSettings(): Http2Error {
  return new Http2Error(ErrorCode.PROTOCOL_ERROR, 'the first frame is not SETTINGS');
}
