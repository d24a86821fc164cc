import assert from 'node:assert/strict';
import { Socket } from 'node:net';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import fc from 'fast-check';
import {
  ErrorCode,
  Flag,
  FrameType,
  pingFrame,
  PREFACE,
  resetFrame,
  Setting,
  settingsAck,
  settingsFrame,
  windowUpdateFrame,
} from '../../../../protocol/http2/index.ts';
import { anyFrame, dataFrame, RawHttp2Client } from '../../../../../test/support/raw-http2.ts';
import { HANDSHAKE_SECONDS, type Http2Connection } from './connection.ts';
import type { ConnectionEvents } from './connection-events.ts';
import { type Http2Listener, type Http2Stream, listenHttp2 } from './index.ts';

const HEAD = [':status', '200', 'content-type', 'x/y'];
const TRAILERS = ['done', 'yes'];
const PIECE = Buffer.alloc(100_000, 'x');

/** What has been told of streams. */
const told = { cancelled: 0, answered: 0 };
const held: Http2Stream[] = [];
let connection: Http2Connection | undefined;

/** `/echo` says back what it got, `/large/N` sends N bytes, `/hold` waits, `/early` does not wait for the body. */
const events: ConnectionEvents = {
  request(stream, { path }) {
    const pieces: Buffer[] = [];
    const large = /^\/large\/(\d+)$/.exec(path);
    if (path === '/hold') held.push(stream);
    if (path === '/early') stream.finish(HEAD, Buffer.from('early'), TRAILERS);
    if (path === '/throw') throw new Error('the handler threw');
    if (large) {
      stream.respond(HEAD);
      for (let left = Number(large[1]); left > 0; left -= PIECE.length) stream.write(PIECE.subarray(0, left));
      stream.finish(HEAD, undefined, TRAILERS);
    }
    return {
      data: (piece) => pieces.push(Buffer.from(piece)),
      end() {
        if (path === '/echo') stream.finish(HEAD, Buffer.concat(pieces), TRAILERS);
      },
      closed: (answered) => told[answered ? 'answered' : 'cancelled']++,
    };
  },
  pinged() {},
  broken() {},
  closed() {},
};

const listen = (): Promise<Http2Listener> =>
  listenHttp2(
    (accepted) => {
      queueMicrotask(() => (connection = accepted()));
      return events;
    },
    { host: '127.0.0.1', port: 0, tls: undefined, reusePort: false },
  );

describe('HTTP/2 connections', () => {
  let listener: Http2Listener;
  before(async () => {
    listener = await listen();
  });
  after(() => listener.close());
  const open = (settings?: ReadonlyMap<number, number>): Promise<RawHttp2Client> =>
    RawHttp2Client.open(listener.port, settings);

  test('an answer has a head, a body and trailers, and the next one costs a few bytes', async () => {
    using client = await open();
    client.send(client.request(1, '/echo', false), dataFrame(1, Buffer.from('hello'), true));
    await client.end(1);
    const [head, trailers] = client.frames.filter(({ type }) => type === FrameType.HEADERS);
    assert.ok(head && trailers);
    assert.deepEqual(client.fields(head), HEAD);
    assert.deepEqual(client.fields(trailers), TRAILERS);
    assert.equal(client.body(1).toString(), 'hello');
    client.send(client.request(3, '/echo', true));
    const last = await client.end(3);
    assert.equal(last.payload.length, 1);
  });

  test('the same bytes mean the same, however they are cut', async () => {
    using source = await open();
    const bytes = Buffer.concat([
      PREFACE,
      settingsFrame(new Map()),
      source.request(1, '/echo', false),
      dataFrame(1, Buffer.from('one'), false),
      source.request(3, '/echo', false),
      dataFrame(3, Buffer.alloc(3000, 'b'), true),
      anyFrame(0xbe, 0xff, 3, Buffer.from('unknown')),
      dataFrame(1, Buffer.from(' and two'), false),
      source.headers(1, ['trailer', 'x'], true),
      pingFrame(Buffer.from('abcdefgh'), false),
    ]);
    const cuts = fc.uniqueArray(fc.integer({ min: 1, max: bytes.length - 1 }), { maxLength: 8 });
    await fc.assert(
      fc.asyncProperty(cuts, async (places) => {
        using client = await RawHttp2Client.connect(listener.port);
        let from = 0;
        for (const at of places.toSorted((a, b) => a - b)) {
          client.send(bytes.subarray(from, at));
          from = at;
          await sleep(1);
        }
        client.send(bytes.subarray(from));
        await client.until(({ type, flags }) => type === FrameType.PING && flags === Flag.ACK);
        await Promise.all([client.end(1), client.end(3)]);
        assert.equal(client.body(1).toString(), 'one and two');
        assert.equal(client.body(3).length, 3000);
      }),
      { numRuns: 30 },
    );
  });

  test('bodies wait for the windows of the client, and no more than they allow is sent', async () => {
    using client = await open(new Map([[Setting.INITIAL_WINDOW_SIZE, 0]]));
    client.send(client.request(1, '/large/300000', true), client.request(3, '/large/10', true));
    await client.until(({ type, stream }) => type === FrameType.HEADERS && stream === 3);
    assert.equal(client.body(1).length, 0);
    client.send(windowUpdateFrame(1, 1000));
    client.send(windowUpdateFrame(3, 4));
    await client.until(({ type, stream }) => type === FrameType.DATA && stream === 3);
    assert.equal(client.body(1).length, 1000);
    assert.equal(client.body(3).length, 4);
    client.send(settingsFrame(new Map([[Setting.INITIAL_WINDOW_SIZE, 1_000_000]])));
    await sleep(50);
    assert.equal(client.body(1).length + client.body(3).length, 65_535, 'the connection has a window as well');
    client.send(windowUpdateFrame(0, 1_000_000));
    await Promise.all([client.end(1), client.end(3)]);
    assert.equal(client.body(1).length, 300_000);
  });

  test('streams take turns when the connection has room again', async () => {
    using client = await open(new Map([[Setting.INITIAL_WINDOW_SIZE, 2 ** 30]]));
    for (const stream of [1, 3, 5]) client.send(client.request(stream, '/large/2000000', true));
    client.send(windowUpdateFrame(0, 3_000_000));
    await client.until(({ stream, type }) => type === FrameType.DATA && stream === 5);
    for (let wait = 0; wait < 200 && client.body(5).length < 400_000; wait++) await sleep(5);
    for (const stream of [1, 3, 5]) assert.ok(client.body(stream).length >= 400_000, `stream ${stream} got its share`);
    client.send(windowUpdateFrame(0, 10_000_000));
    for (const stream of [1, 3, 5]) await client.end(stream);
  });

  test('a client that takes long frames gets them, and one that takes no others gets short ones', async () => {
    for (const [maxFrame, longest] of [
      [16_384, 16_384],
      [1_000_000, 100_000],
    ] as const) {
      const windows = new Map([
        [Setting.INITIAL_WINDOW_SIZE, 2 ** 30],
        [Setting.MAX_FRAME_SIZE, maxFrame],
      ]);
      using client = await open(windows);
      client.send(windowUpdateFrame(0, 2 ** 29), client.request(1, '/large/500000', true));
      await client.end(1);
      const lengths = client.frames.filter(({ type }) => type === FrameType.DATA).map(({ payload }) => payload.length);
      assert.equal(Math.max(...lengths), longest);
    }
  });

  test('a client may go on sending as long as its answers are read, and no longer', async () => {
    using client = await open(new Map([[Setting.INITIAL_WINDOW_SIZE, 0]]));
    const body = Buffer.alloc(16_384);
    const sendMegabytes = (stream: number, megabytes: number): void => {
      for (let sent = 0; sent < megabytes * 2 ** 20; sent += body.length) client.send(dataFrame(stream, body, false));
    };
    client.send(client.request(1, '/hold', false));
    sendMegabytes(1, 6);
    await client.until(({ type, stream }) => type === FrameType.WINDOW_UPDATE && stream === 1);
    client.send(client.request(3, '/large/8000000', false));
    sendMegabytes(3, 5);
    const reset = await client.end(3);
    assert.equal(reset.payload.readUInt32BE(), ErrorCode.FLOW_CONTROL_ERROR);
    assert.ok(!client.frames.some(({ type, stream }) => type === FrameType.WINDOW_UPDATE && stream === 3));
    client.send(resetFrame(1, ErrorCode.CANCEL), client.request(5, '/echo', true));
    await client.end(5);
  });

  test('a client that gives a request up cancels it, and one that goes away all of its own', async () => {
    const cancelled = told.cancelled;
    const client = await open();
    client.send(client.request(1, '/hold', false), client.request(3, '/hold', true), client.request(5, '/hold', true));
    client.send(resetFrame(1, ErrorCode.CANCEL), client.request(7, '/echo', true));
    await client.end(7);
    assert.equal(told.cancelled, cancelled + 1);
    client.socket.destroy();
    for (let wait = 0; wait < 200 && told.cancelled < cancelled + 3; wait++) await sleep(5);
    assert.equal(told.cancelled, cancelled + 3);
  });

  test('an answer that does not wait for the body tells the client to stop, and what still comes is not looked at', async () => {
    using client = await open();
    client.send(client.request(1, '/early', false));
    await client.until(({ type, stream }) => type === FrameType.RST_STREAM && stream === 1);
    assert.equal(client.body(1).toString(), 'early');
    client.send(dataFrame(1, Buffer.from('more'), false), client.headers(1, ['a', 'trailer'], true));
    client.send(client.request(3, '/echo', true));
    await client.end(3);
    const resets = client.frames.filter(({ type }) => type === FrameType.RST_STREAM);
    assert.deepEqual(
      resets.map(({ payload }) => payload.readUInt32BE()),
      [ErrorCode.NO_ERROR],
    );
  });

  test('a handler that throws ends its connection and no other', async () => {
    using other = await open();
    using client = await open();
    client.send(client.request(1, '/throw', true));
    assert.equal(await client.ended(), ErrorCode.INTERNAL_ERROR);
    other.send(other.request(1, '/echo', true));
    await other.end(1);
  });

  test('a server that closes answers what was begun, and says what it has taken', async () => {
    const closing = await listen();
    using client = await RawHttp2Client.open(closing.port);
    held.length = 0;
    client.send(client.request(1, '/hold', true));
    while (held.length < 1) await sleep(2);
    const closed = closing.close();
    const ping = await client.until(({ type, flags }) => type === FrameType.PING && flags === 0);
    // What was on its way before the client knew is still taken.
    client.send(client.request(3, '/echo', true), pingFrame(ping.payload, true));
    await client.end(3);
    await client.until(({ type, payload }) => type === FrameType.GOAWAY && payload.readUInt32BE() === 3);
    client.send(client.request(5, '/echo', true));
    held[0]?.finish(HEAD, Buffer.from('held'), TRAILERS);
    await client.end(1);
    assert.equal(await client.ended(), ErrorCode.NO_ERROR);
    assert.equal(client.body(5).length, 0);
    await closed;
  });

  describe('are ended when their clients', () => {
    const calm = async (send: (client: RawHttp2Client) => void): Promise<void> => {
      using client = await open();
      send(client);
      assert.equal(await client.ended(), ErrorCode.ENHANCE_YOUR_CALM);
    };

    test('give up requests as fast as they make them', () =>
      calm((client) => {
        for (let stream = 1; stream < 4000; stream += 2) {
          client.send(client.request(stream, '/hold', true), resetFrame(stream, ErrorCode.CANCEL));
        }
      }));

    test('make the server give up requests as fast as they make them', () =>
      calm((client) => {
        for (let stream = 1; stream < 4000; stream += 2) {
          client.send(client.request(stream, '/hold', false), windowUpdateFrame(stream, 0));
        }
      }));

    test('never end a header block', () =>
      calm((client) => {
        client.send(anyFrame(FrameType.HEADERS, 0, 1, Buffer.alloc(0)));
        for (let count = 0; count < 100; count++) client.send(anyFrame(FrameType.CONTINUATION, 0, 1, Buffer.alloc(0)));
      }));

    test('send a header block that is too long', () =>
      calm((client) => {
        client.send(anyFrame(FrameType.HEADERS, 0, 1, Buffer.alloc(16_000)));
        for (let count = 0; count < 10; count++)
          client.send(anyFrame(FrameType.CONTINUATION, 0, 1, Buffer.alloc(16_000)));
      }));

    test('send frames without any use', () =>
      calm((client) => {
        client.send(client.request(1, '/hold', false));
        client.send(Buffer.concat(Array.from({ length: 11_000 }, () => dataFrame(1, Buffer.alloc(0), false))));
      }));

    test('change their settings all the time', () =>
      calm((client) => client.send(Buffer.concat(Array.from({ length: 11_000 }, () => settingsFrame(new Map()))))));
  });

  test('headers that unpack to too much are answered 431, and the connection goes on', async () => {
    using client = await open();
    const value = 'v'.repeat(1000);
    client.send(client.request(1, '/echo', true, ['big', value]));
    const many = Array.from({ length: 100 }, () => ['big', value]).flat();
    client.send(client.request(3, '/echo', true, many), client.request(5, '/echo', true));
    await client.end(5);
    const heads = client.frames.filter(({ type }) => type === FrameType.HEADERS).map((frame) => client.fields(frame));
    assert.deepEqual(heads[2], [':status', '431']);
  });

  test('clients that do not read do not fill the memory, and the others are served', async () => {
    const client = await open(new Map([[Setting.INITIAL_WINDOW_SIZE, 2 ** 31 - 1]]));
    client.socket.pause();
    client.send(windowUpdateFrame(0, 2 ** 31 - 1 - 65_535));
    // Answers of 90 MB each, of which those that are over half a gigabyte are refused.
    for (let stream = 1; stream < 40; stream += 2) client.send(client.request(stream, '/large/90000000', true));
    // And one that asks for pings to be answered that it does not read.
    const pings = await open();
    pings.socket.pause();
    const flood = Buffer.concat(Array.from({ length: 9000 }, () => pingFrame(Buffer.alloc(8), false)));
    pings.send(flood);
    using other = await open();
    other.send(other.request(1, '/echo', true));
    await other.end(1);
    client.socket.resume();
    const last = await client.end(39);
    assert.equal(last.type, FrameType.RST_STREAM);
    assert.equal(last.payload.readUInt32BE(), ErrorCode.REFUSED_STREAM);
    client.socket.destroy();
    pings.socket.destroy();
  });

  test('a beginning that does not come to its end is given up', async () => {
    for (const beginning of [Buffer.alloc(0), PREFACE.subarray(0, 10), PREFACE]) {
      connection = undefined;
      using client = await RawHttp2Client.connect(listener.port);
      client.send(beginning);
      await sleep(20);
      const accepted = connection as Http2Connection | undefined;
      assert.ok(accepted);
      for (let second = 0; second < HANDSHAKE_SECONDS; second++) accepted.tick();
      await client.ended();
    }
  });

  test('what is no HTTP/2 is told so when it is HTTP/1.1, and otherwise just cut off', async () => {
    const say = async (text: string): Promise<string> => {
      const socket = new Socket().connect(listener.port, '127.0.0.1');
      let answer = '';
      socket.on('data', (chunk: Buffer) => (answer += chunk.toString('latin1')));
      socket.write(text);
      await new Promise((resolve) => socket.once('close', resolve));
      return answer;
    };
    assert.match(await say('GET /v2 HTTP/1.1\r\nHost: x\r\n\r\n'), /^HTTP\/1.1 400 [^]*this port speaks gRPC/);
    assert.equal(await say('hello there, who are you?\r\n'), '');
  });

  test('a ping comes back as it was, and its answer is no question', async () => {
    using client = await open();
    client.send(pingFrame(Buffer.from('12345678'), false), pingFrame(Buffer.from('87654321'), true), settingsAck());
    const pong = await client.until(({ type }) => type === FrameType.PING);
    assert.equal(pong.flags, Flag.ACK);
    assert.equal(pong.payload.toString(), '12345678');
    assert.equal(client.frames.filter(({ type }) => type === FrameType.PING).length, 1);
  });
});
