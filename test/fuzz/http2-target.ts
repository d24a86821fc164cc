import assert from 'node:assert/strict';
import {
  Flag,
  FrameType,
  goawayFrame,
  headersLength,
  HpackEncoder,
  Http2Error,
  pingFrame,
  PREFACE,
  resetFrame,
  settingsFrame,
  windowUpdateFrame,
  writeFrameHead,
  writeHeaders,
} from '../../src/protocol/http2/index.ts';
import { Http2Connection } from '../../src/server/frontends/grpc/http2/index.ts';
import { cut, mutate, type Random } from './mutator.ts';
import { Pipe } from './pipe.ts';

const REQUEST = [
  ':method',
  'POST',
  ':scheme',
  'http',
  ':path',
  '/a',
  ':authority',
  'x',
  'te',
  'trailers',
  'grpc-timeout',
  '1S',
];

function headers(
  encoder: HpackEncoder,
  stream: number,
  fields: readonly string[],
  end: boolean,
  maxFrame = 16_384,
): Buffer {
  const block = encoder.encode(fields);
  const bytes = Buffer.alloc(headersLength(block, maxFrame));
  writeHeaders(bytes, 0, stream, block, end, maxFrame);
  return bytes;
}

function data(stream: number, text: string, flags: number): Buffer {
  const bytes = Buffer.alloc(9 + text.length);
  bytes.write(text, writeFrameHead(bytes, 0, text.length, FrameType.DATA, flags, stream));
  return bytes;
}

function conversation(make: (encoder: HpackEncoder) => readonly Buffer[]): Buffer {
  return Buffer.concat([settingsFrame(new Map([[4, 70_000]])), ...make(new HpackEncoder())]);
}

const CORPUS: readonly Buffer[] = [
  conversation((encoder) => [
    headers(encoder, 1, REQUEST, false),
    data(1, 'hello', Flag.END_STREAM),
    headers(encoder, 3, REQUEST, true),
    headers(encoder, 5, REQUEST, true),
  ]),
  conversation((encoder) => [
    headers(encoder, 1, [...REQUEST, 'content-length', '4'], false, 7),
    data(1, '\x02abcd\0\0', Flag.PADDED),
    headers(encoder, 1, ['trailer', 'x'], true),
    windowUpdateFrame(0, 1000),
    pingFrame(Buffer.alloc(8, 1), false),
  ]),
  conversation((encoder) => [
    headers(encoder, 1, REQUEST, false),
    windowUpdateFrame(1, 5),
    settingsFrame(
      new Map([
        [1, 0],
        [4, 0],
        [5, 20_000],
      ]),
    ),
    resetFrame(1, 8),
    headers(encoder, 3, REQUEST, false),
    data(3, 'x'.repeat(300), 0),
    data(3, '', Flag.END_STREAM),
    goawayFrame(0, 0),
  ]),
];

const DICTIONARY: readonly Buffer[] = [
  windowUpdateFrame(1, 2 ** 31 - 1),
  windowUpdateFrame(0, 0),
  settingsFrame(new Map([[4, 2 ** 31 - 1]])),
  settingsFrame(new Map([[4, 0]])),
  resetFrame(3, 0),
  data(1, '', 0),
  Buffer.from('000000010500000007', 'hex'),
  Buffer.from('0000000904000000010000', 'hex'),
  Buffer.from('3fe11f', 'hex'),
  Buffer.from('20', 'hex'),
  Buffer.from('be', 'hex'),
  Buffer.from('ffffffff0f', 'hex'),
  headers(new HpackEncoder(), 7, REQUEST, true),
];

/** What happened on a connection, in order. */
async function serve(pieces: readonly Buffer[]): Promise<readonly string[]> {
  const seen: string[] = [];
  const pipe = new Pipe();
  const connection = new Http2Connection(pipe.asSocket(), {
    request(stream, head) {
      const { id } = stream;
      seen.push(`${id} ${head.method} ${head.path} ${JSON.stringify([...head.headers])}`);
      let body = '';
      return {
        data: (piece) => (body += piece.toString('latin1')),
        end() {
          seen.push(`${id} body ${body}`);
          stream.finish([':status', '200'], Buffer.from(body), ['done', 'yes']);
        },
        closed: (answered) => seen.push(`${id} closed ${answered}`),
      };
    },
    pinged: () => seen.push('ping'),
    broken(error) {
      if (!(error instanceof Http2Error)) throw error;
      seen.push(`broken ${error.code} ${error.message}`);
    },
    closed() {},
  });
  for (const piece of pieces) {
    pipe.push(piece);
    await settled();
  }
  connection.destroy();
  await settled();
  return seen;
}

const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** HTTP/2: a stream of bytes means the same however it is cut, and nothing but errors of the protocol is thrown. */
export async function fuzzHttp2(random: Random): Promise<void> {
  const bytes = Buffer.concat([PREFACE, mutate(random, CORPUS, DICTIONARY)]);
  const [whole, pieces] = await Promise.all([serve([Buffer.from(bytes)]), serve(cut(random, bytes))]);
  assert.deepEqual(pieces, whole, `cut in pieces it means something else: ${bytes.toString('hex')}`);
}
