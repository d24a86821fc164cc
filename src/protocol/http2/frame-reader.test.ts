import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import {
  DEFAULT_MAX_FRAME,
  ErrorCode,
  Flag,
  FrameReader,
  FrameType,
  goawayFrame,
  headersLength,
  Http2Error,
  pingFrame,
  resetFrame,
  settingsFrame,
  windowUpdateFrame,
  writeFrameHead,
  writeHeaders,
} from './index.ts';

/** Reads pieces of bytes; the pieces of one DATA frame are put together again. */
function read(...pieces: readonly Buffer[]): string[] {
  const seen: string[] = [];
  let data = Buffer.alloc(0);
  const reader = new FrameReader(
    {
      frame: (type, flags, stream, payload) => seen.push(`${type} ${flags} ${stream} ${payload.toString('hex')}`),
      dataHead: (stream, length, ended) => seen.push(`data ${stream} ${length} ${ended}`),
      data: (piece) => (data = Buffer.concat([data, piece])),
      dataEnd(ended) {
        seen.push(`end ${data.toString('latin1')} ${ended}`);
        data = Buffer.alloc(0);
      },
    },
    DEFAULT_MAX_FRAME,
  );
  for (const piece of pieces) {
    // What was passed in may be written over.
    const shared = Buffer.from(piece);
    reader.push(shared);
    shared.fill(0xee);
  }
  return seen;
}

function dataFrame(stream: number, text: string, padding: number | undefined, end: boolean): Buffer {
  const length = text.length + (padding === undefined ? 0 : 1 + padding);
  const head = Buffer.alloc(9);
  const flags = (end ? Flag.END_STREAM : 0) | (padding === undefined ? 0 : Flag.PADDED);
  writeFrameHead(head, 0, length, FrameType.DATA, flags, stream);
  const body =
    padding === undefined ? [Buffer.from(text)] : [Buffer.from([padding]), Buffer.from(text), Buffer.alloc(padding)];
  return Buffer.concat([head, ...body]);
}

function headersFrames(stream: number, block: Buffer, maxFrame: number): Buffer {
  const bytes = Buffer.alloc(headersLength(block, maxFrame));
  assert.equal(writeHeaders(bytes, 0, stream, block, true, maxFrame), bytes.length);
  return bytes;
}

const STREAM = Buffer.concat([
  settingsFrame(new Map([[4, 100_000]])),
  headersFrames(1, Buffer.from('abcdef'), 4),
  dataFrame(1, 'hello', undefined, false),
  dataFrame(1, '', 3, false),
  dataFrame(1, 'world', 7, true),
  dataFrame(3, '', undefined, true),
  dataFrame(3, '', 0, true),
  windowUpdateFrame(0, 77),
  pingFrame(Buffer.from('12345678'), true),
  resetFrame(5, ErrorCode.CANCEL),
  goawayFrame(7, ErrorCode.NO_ERROR, 'bye'),
]);

const EXPECTED = [
  '4 0 0 0004000186a0',
  '1 1 1 61626364',
  '9 4 1 6566',
  'data 1 5 false',
  'end hello false',
  'data 1 4 false',
  'end  false',
  'data 1 13 true',
  'end world true',
  'data 3 0 true',
  'end  true',
  'data 3 1 true',
  'end  true',
  '8 0 0 0000004d',
  '6 1 0 3132333435363738',
  '3 0 5 00000008',
  `7 0 0 0000000700000000${Buffer.from('bye').toString('hex')}`,
];

describe('HTTP/2 frames', () => {
  test('are read as they were written', () => {
    assert.deepEqual(read(STREAM), EXPECTED);
  });

  test('are the same wherever their bytes are cut', () => {
    for (let at = 1; at < STREAM.length; at++) {
      assert.deepEqual(read(STREAM.subarray(0, at), STREAM.subarray(at)), EXPECTED, `cut at ${at}`);
    }
    const cuts = fc.uniqueArray(fc.integer({ min: 1, max: STREAM.length - 1 }), { maxLength: 60 });
    fc.assert(
      fc.property(cuts, (places) => {
        const at = [0, ...places.toSorted((a, b) => a - b), STREAM.length];
        const pieces = at.slice(1).map((end, index) => STREAM.subarray(at[index], end));
        assert.deepEqual(read(...pieces), EXPECTED);
      }),
    );
  });

  test('longer than was announced are refused before they have come', () => {
    const head = Buffer.alloc(9);
    writeFrameHead(head, 0, DEFAULT_MAX_FRAME + 1, FrameType.HEADERS, 0, 1);
    assert.throws(
      () => read(head),
      (error) =>
        error instanceof Http2Error && error.code === ErrorCode.FRAME_SIZE_ERROR && /16385 bytes/.test(error.message),
    );
  });

  test('with more padding than bytes are refused', () => {
    const head = Buffer.alloc(10);
    writeFrameHead(head, 0, 1, FrameType.DATA, Flag.PADDED, 1);
    head[9] = 1;
    assert.throws(() => read(head), Http2Error);
    const empty = Buffer.alloc(9);
    writeFrameHead(empty, 0, 0, FrameType.DATA, Flag.PADDED, 1);
    assert.throws(() => read(empty), Http2Error);
  });

  test('the reserved bit of a stream is not looked at', () => {
    const frame = windowUpdateFrame(9, 1);
    frame[5] = 0x80;
    assert.deepEqual(read(frame), ['8 0 9 00000001']);
  });
});
