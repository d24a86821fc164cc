import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { LlamaSequence } from './native.ts';
import { commonLength, Slots } from './slots.ts';

const sequence = (...contextTokens: readonly number[]): LlamaSequence =>
  ({ contextTokens }) as unknown as LlamaSequence;

test('the length of what two lists of tokens begin with', () => {
  assert.equal(commonLength([], [1]), 0);
  assert.equal(commonLength([1, 2, 3], [1, 2, 4]), 2);
  assert.equal(commonLength([1, 2], [1, 2, 3]), 2);
});

test('a prompt gets the idle sequence that shares most with it', async () => {
  const [a, b, c] = [sequence(1, 2), sequence(1, 2, 3), sequence(9)];
  const slots = new Slots([a, b, c]);
  assert.equal(await slots.take([1, 2, 3, 4]), b);
  assert.equal(await slots.take([1, 2, 3, 4]), a);
  assert.equal(await slots.take([1, 2, 3, 4]), c);
});

test('who waits gets the next one that comes back, in order', async () => {
  const only = sequence(1);
  const slots = new Slots([only]);
  await slots.take([1]);
  const order: number[] = [];
  const waiting = [1, 2].map(async (number) => {
    await slots.take([1]);
    order.push(number);
    slots.giveBack(only);
  });
  slots.giveBack(only);
  await Promise.all(waiting);
  assert.deepEqual(order, [1, 2]);
});
