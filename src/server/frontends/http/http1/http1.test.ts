import assert from 'node:assert/strict';
import { connect, type Socket } from 'node:net';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import fc from 'fast-check';
import { silentLogger } from '../../../../core/index.ts';
import { type HttpHandler, jsonReply } from '../../exchange.ts';
import { MAX_HEAD_BYTES } from './connection.ts';
import { MAX_HEADERS, MessageError, parseHead } from './head.ts';
import { type HttpListener, listenHttp } from './index.ts';

const LIMIT = 100_000;
let held: (() => void) | undefined;
let cancelled = 0;

/** Says what it got; some paths do something else. */
const handler: HttpHandler = (request, reply) => {
  const said = { method: request.method, target: request.target, body: Buffer.from(request.body).toString('latin1') };
  switch (request.target) {
    case '/hold':
      held = () => reply(jsonReply(200, '"held"'));
      return () => {
        cancelled++;
      };
    case '/stream':
      reply({
        status: 200,
        contentType: 'text/event-stream',
        start(stream) {
          stream.write('data: 1\n\n');
          setImmediate(() => {
            stream.write('data: 2\n\n');
            stream.end();
          });
        },
      });
      return undefined;
    case '/large':
      reply({ status: 200, contentType: 'x/y', body: [Buffer.alloc(70_000, 'a'), Buffer.alloc(700_000, 'b')] });
      return undefined;
    case '/throw':
      throw new Error('the handler threw');
    default:
      reply(jsonReply(200, JSON.stringify(said)));
      return undefined;
  }
};

describe('HTTP/1.1', () => {
  let listener: HttpListener;
  before(async () => {
    listener = await listenHttp(handler, {
      host: '127.0.0.1',
      port: 0,
      maxInputBytes: LIMIT,
      reusePort: false,
      logger: silentLogger,
    });
  });
  after(() => listener.close());

  const open = async (): Promise<{
    socket: Socket;
    received: () => string;
    until: (text: string) => Promise<string>;
  }> => {
    const socket = connect(listener.port, '127.0.0.1');
    await new Promise((resolve) => socket.once('connect', resolve));
    let text = '';
    socket.on('data', (chunk: Buffer) => (text += chunk.toString('latin1')));
    socket.on('error', () => undefined);
    const until = async (wanted: string): Promise<string> => {
      for (let wait = 0; wait < 500 && !text.includes(wanted); wait++) await sleep(5);
      assert.ok(text.includes(wanted), `'${wanted}' did not come, but: ${text.slice(0, 300)}`);
      return text;
    };
    return { socket, received: () => text, until };
  };

  /** Sends bytes; returns everything up to the end of the connection. */
  const exchange = async (...pieces: readonly (string | Buffer)[]): Promise<string> => {
    const { socket, received } = await open();
    const closed = new Promise((resolve) => socket.once('close', resolve));
    for (const piece of pieces) socket.write(piece);
    await Promise.race([closed, sleep(3000)]);
    socket.destroy();
    return received();
  };

  const LAST = 'GET /last HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n';
  const bodies = (text: string): readonly unknown[] =>
    [...text.matchAll(/\r\n\r\n(\{[^}]*\})/g)].map(([, json]) => JSON.parse(json ?? '') as unknown);

  test('answers requests sent at once, in order, and keeps the connection', async () => {
    const post = 'POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc';
    const text = await exchange(`${post}GET /b HTTP/1.1\r\nHost: x\r\n\r\n\r\n${post}${LAST}`);
    assert.deepEqual(bodies(text), [
      { method: 'POST', target: '/a', body: 'abc' },
      { method: 'GET', target: '/b', body: '' },
      { method: 'POST', target: '/a', body: 'abc' },
      { method: 'GET', target: '/last', body: '' },
    ]);
    assert.equal(text.match(/Connection: keep-alive/g)?.length, 3);
    assert.equal(text.match(/Connection: close/g)?.length, 1);
  });

  test('reads the same requests however their bytes are cut', async () => {
    const stream =
      'POST /one HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n4;a="b"\r\nWiki\r\n5\r\npedia\r\n0\r\nTrailer: y\r\n\r\n' +
      'POST /two HTTP/1.1\r\nhOST: x\r\ncontent-length:  5 \r\n\r\nhello' +
      LAST;
    const expected = [
      { method: 'POST', target: '/one', body: 'Wikipedia' },
      { method: 'POST', target: '/two', body: 'hello' },
      { method: 'GET', target: '/last', body: '' },
    ];
    const cuts = fc.array(fc.integer({ min: 1, max: stream.length - 1 }), { minLength: 1, maxLength: 6 });
    await fc.assert(
      fc.asyncProperty(cuts, async (at) => {
        const { socket, until } = await open();
        let from = 0;
        for (const cut of [...at.toSorted((a, b) => a - b), stream.length]) {
          socket.write(stream.slice(from, cut), 'latin1');
          from = Math.max(from, cut);
          await new Promise((resolve) => setImmediate(resolve));
        }
        assert.deepEqual(bodies(await until('/last')), expected);
        socket.destroy();
      }),
      { numRuns: 40 },
    );
  });

  const REFUSED: readonly (readonly [what: string, request: string, status: number])[] = [
    ['a line feed alone', 'GET / HTTP/1.1\nHost: x\n\r\n\r\n', 400],
    ['no host', 'GET / HTTP/1.1\r\n\r\n', 400],
    ['two hosts', 'GET / HTTP/1.1\r\nHost: x\r\nHost: x\r\n\r\n', 400],
    ['a space before the colon', 'GET / HTTP/1.1\r\nHost : x\r\n\r\n', 400],
    ['a folded header', 'GET / HTTP/1.1\r\nHost: x\r\nA: b\r\n c\r\n\r\n', 400],
    ['a zero byte', 'GET / HTTP/1.1\r\nHost: x\r\nA: b\0\r\n\r\n', 400],
    ['two lengths', 'POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx', 400],
    ['a list of lengths', 'POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1, 1\r\n\r\nx', 400],
    ['a signed length', 'POST / HTTP/1.1\r\nHost: x\r\nContent-Length: +1\r\n\r\nx', 400],
    [
      'a length and chunks',
      'POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
      400,
    ],
    ['chunks in HTTP/1.0', 'POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n', 400],
    ['another coding', 'POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n', 501],
    ['a chunk without a size', 'POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n\r\n', 400],
    ['a chunk that is longer', 'POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab\r\n', 400],
    ['chunks with line feeds alone', 'POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\na\n', 400],
    [
      'a carriage return in a trailer',
      'POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nT: u\rv\r\n\r\n',
      400,
    ],
    ['a target that is no path', 'GET example HTTP/1.1\r\nHost: x\r\n\r\n', 400],
    ['another version', 'GET / HTTP/2.0\r\nHost: x\r\n\r\n', 505],
    ['another protocol', 'hello\r\n\r\n', 400],
    ['another expectation', 'GET / HTTP/1.1\r\nHost: x\r\nExpect: tea\r\n\r\n', 417],
    ['a long head', `GET / HTTP/1.1\r\nHost: x\r\nA: ${'a'.repeat(MAX_HEAD_BYTES)}\r\n\r\n`, 431],
    ['many headers', `GET / HTTP/1.1\r\nHost: x\r\n${'a: b\r\n'.repeat(MAX_HEADERS)}\r\n`, 431],
    ['a long body', `POST / HTTP/1.1\r\nHost: x\r\nContent-Length: ${LIMIT + 1}\r\n\r\n`, 400],
    [
      'long chunks',
      `POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n${(LIMIT + 1).toString(16)}\r\n`,
      400,
    ],
  ];
  for (const [what, request, status] of REFUSED) {
    test(`refuses ${what} with ${status}, and closes`, async () => {
      // What follows must not be taken for a request.
      const text = await exchange(`${request}${LAST}`);
      assert.ok(text.startsWith(`HTTP/1.1 ${status} `), text.slice(0, 200));
      assert.ok(!text.includes('/last'), text);
      assert.match(text, /Connection: close/);
    });
  }

  test('tells a client that waits to go on', async () => {
    const { socket, until } = await open();
    socket.write('POST /c HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n');
    assert.equal(await until('\r\n\r\n'), 'HTTP/1.1 100 Continue\r\n\r\n');
    socket.write('ok');
    await until('"body":"ok"');
    socket.destroy();
  });

  test('answers HEAD without a body, and HTTP/1.0 with the end of the connection', async () => {
    assert.match(
      await exchange(`HEAD /h HTTP/1.1\r\nHost: x\r\n\r\n${LAST}`),
      /Content-Length: \d\d\r\n.*\r\n\r\nHTTP\/1\.1 200/s,
    );
    const old = await exchange('GET /old HTTP/1.0\r\n\r\n');
    assert.match(old, /Connection: close\r\n\r\n\{"method":"GET","target":"\/old"/);
    assert.match(await exchange('GET /stream HTTP/1.0\r\n\r\n'), /close\r\n\r\ndata: 1\n\ndata: 2\n\n$/);
  });

  test('streams in chunks, and goes on with the connection', async () => {
    const text = await exchange(`GET /stream HTTP/1.1\r\nHost: x\r\n\r\n${LAST}`);
    assert.match(
      text,
      /Transfer-Encoding: chunked.*\r\n\r\n9\r\ndata: 1\n\n\r\n9\r\ndata: 2\n\n\r\n0\r\n\r\nHTTP\/1\.1 200/s,
    );
    assert.match(text, /"target":"\/last"/);
  });

  test('writes long bodies whole, one after the other', async () => {
    const large = 'GET /large HTTP/1.1\r\nHost: x\r\n\r\n';
    const text = await exchange(large + large + LAST);
    assert.equal(text.match(/Content-Length: 770000\r\n/g)?.length, 2);
    assert.equal(text.match(/b/g)?.length, 2 * 700_000 + (text.match(/"body"/g)?.length ?? 0));
  });

  test('a handler that throws costs its request', async () => {
    const text = await exchange(`GET /throw HTTP/1.1\r\nHost: x\r\n\r\n${LAST}`);
    assert.match(text, /^HTTP\/1\.1 500 .*the handler threw.*"target":"\/last"/s);
  });

  test('later requests wait for the answer to an earlier one', async () => {
    const { socket, received, until } = await open();
    socket.write(`GET /hold HTTP/1.1\r\nHost: x\r\n\r\n${LAST}`);
    await sleep(30);
    assert.equal(received(), '');
    held?.();
    assert.match(await until('/last'), /"held".*\/last/s);
    socket.destroy();
  });

  test('a client that goes away cancels its request', async () => {
    const earlier = cancelled;
    const { socket } = await open();
    socket.write('GET /hold HTTP/1.1\r\nHost: x\r\n\r\n');
    await sleep(30);
    socket.destroy();
    for (let wait = 0; wait < 200 && cancelled === earlier; wait++) await sleep(5);
    assert.equal(cancelled, earlier + 1);
    held?.();
  });
});

test('closing lets a request in progress finish', async () => {
  const listener = await listenHttp(handler, {
    host: '127.0.0.1',
    port: 0,
    maxInputBytes: LIMIT,
    reusePort: false,
    logger: silentLogger,
  });
  const answer = fetch(`http://127.0.0.1:${listener.port}/hold`);
  const idle = connect(listener.port, '127.0.0.1');
  await sleep(50);
  const closed = listener.close();
  await sleep(50);
  held?.();
  assert.equal(await (await answer).text(), '"held"');
  await closed;
  idle.destroy();
});

test('a head is read in one way or not at all', () => {
  const token = fc.string({ unit: fc.constantFrom(...'abcXYZ-_09'.split('')), minLength: 1, maxLength: 8 });
  const value = fc
    .string({ unit: fc.constantFrom(...'abc 09,;="'.split('')), maxLength: 12 })
    .map((text) => text.trim());
  fc.assert(
    fc.property(
      fc.array(
        fc.tuple(
          token.map((name) => `X-${name}`),
          value,
        ),
        { maxLength: 6 },
      ),
      (headers) => {
        const lines = headers.map(([name, text]) => `${name}:${text}`);
        const head = parseHead(['GET /x HTTP/1.1', 'Host: h', ...lines].join('\r\n'));
        assert.deepEqual(head.raw, ['Host', 'h', ...headers.flat()]);
      },
    ),
  );
  fc.assert(
    fc.property(fc.string({ unit: 'binary', maxLength: 40 }), (text) => {
      try {
        parseHead(text);
      } catch (error) {
        assert.ok(error instanceof MessageError);
      }
    }),
  );
});
