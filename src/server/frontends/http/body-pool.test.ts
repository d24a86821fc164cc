import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BodyPool, SHARED_BODY_BYTES } from './body-pool.ts';

test('a buffer that was given back is used again for the same size only', () => {
  const pool = new BodyPool();
  const first = pool.take(20_000);
  pool.giveBack(first);
  assert.notEqual(pool.take(20_001), first);
  assert.equal(pool.take(20_000), first);
  assert.notEqual(pool.take(20_000), first);
});

test('large bodies lie in shared memory, exactly sized', () => {
  const body = new BodyPool().take(SHARED_BODY_BYTES + 1);
  assert.ok(body.buffer instanceof SharedArrayBuffer);
  assert.equal(body.buffer.byteLength, SHARED_BODY_BYTES + 1);
});

test('what is kept is bounded', () => {
  const pool = new BodyPool();
  const huge = pool.take(65 * 1024 * 1024);
  pool.giveBack(huge);
  assert.notEqual(pool.take(huge.length), huge);
});
