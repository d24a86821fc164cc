import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { ClientError } from './client-error.ts';
import { Http1ResponseReader } from './http1-response.ts';

function read(pieces: readonly Buffer[], closed = false): readonly string[] {
  const seen: string[] = [];
  const reader = new Http1ResponseReader({
    began: () => undefined,
    piece: () => undefined,
    done: ({ status, headers, body }, keepAlive) =>
      seen.push(`${status} ${headers.get('x') ?? ''} ${body.toString('latin1')} ${keepAlive}`),
  });
  for (const piece of pieces) {
    // What was passed in may be written over.
    const shared = Buffer.from(piece);
    reader.push(shared);
    shared.fill(0xee);
  }
  if (closed) assert.ok(reader.close());
  return seen;
}

const STREAM = Buffer.from(
  'HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\nX: one\r\n\r\nhello' +
    'HTTP/1.1 204 No Content\r\n\r\n' +
    'HTTP/1.1 200 OK\r\ntransfer-encoding: Chunked\r\n\r\n4\r\nwiki\r\n5;a=b\r\npedia\r\n0\r\nTrailer: t\r\n\r\n' +
    'HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n' +
    'HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nhi',
  'latin1',
);
const EXPECTED = ['200 one hello true', '204   true', '200  wikipedia true', '400   false', '200  hi false'];

describe('responses of HTTP/1.1', () => {
  test('are the same wherever their bytes are cut', () => {
    assert.deepEqual(read([STREAM]), EXPECTED);
    for (let at = 1; at < STREAM.length; at++) {
      assert.deepEqual(read([STREAM.subarray(0, at), STREAM.subarray(at)]), EXPECTED, `cut at ${at}`);
    }
    fc.assert(
      fc.property(fc.uniqueArray(fc.integer({ min: 1, max: STREAM.length - 1 }), { maxLength: 40 }), (places) => {
        const at = [0, ...places.toSorted((a, b) => a - b), STREAM.length];
        assert.deepEqual(read(at.slice(1).map((end, index) => STREAM.subarray(at[index], end))), EXPECTED);
      }),
    );
  });

  test('without a length end with the connection', () => {
    assert.deepEqual(read([Buffer.from('HTTP/1.1 200 OK\r\n\r\nall of '), Buffer.from('it')], true), [
      '200  all of it true',
    ]);
  });

  test('of other protocols are refused', () => {
    assert.throws(() => read([Buffer.from('SSH-2.0-OpenSSH\r\n\r\n')]), ClientError);
    assert.throws(
      () => read([Buffer.from('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n')]),
      ClientError,
    );
  });
});
