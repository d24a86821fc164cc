import assert from 'node:assert/strict';
import { test } from 'node:test';
import { closest, didYouMean } from './did-you-mean.ts';

test('finds a transposed, a missing and a wrong letter', () => {
  const names = ['max_batch_size', 'input', 'output', 'instance_group'];
  assert.equal(closest('max_bacth_size', names), 'max_batch_size');
  assert.equal(closest('inputs', names), 'input');
  assert.equal(closest('instance_groop', names), 'instance_group');
});

test('does not suggest what is far away', () => {
  assert.equal(closest('zzz', ['input', 'output']), undefined);
  assert.equal(didYouMean('zzz', ['input']), '');
});
