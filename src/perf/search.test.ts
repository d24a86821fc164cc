import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Measurement } from './measure.ts';
import { search } from './search.ts';

/** A server whose latency is as many milliseconds as it has requests at a time. */
async function visit(
  levels: { readonly start: number; readonly end: number; readonly step: number },
  limitMs: number,
  binary = false,
  brokenAt = Number.POSITIVE_INFINITY,
): Promise<readonly number[]> {
  const results = await search({ levels, binary, latencyLimitNs: limitMs * 1e6 }, (level) => {
    const stability = level >= brokenAt ? { kind: 'incomplete', reason: '' } : { kind: 'stable' };
    const measurement = { latency: level * 1e6, stability } as Measurement;
    return Promise.resolve({ level, measurement });
  });
  return results.map(({ level }) => level);
}

describe('the search along a range', () => {
  test('visits every level, to the end and by the step', async () => {
    assert.deepEqual(await visit({ start: 1, end: 7, step: 3 }, 0), [1, 4, 7]);
    assert.deepEqual(await visit({ start: 0.5, end: 1.6, step: 0.5 }, 0), [0.5, 1, 1.5]);
  });

  test('ends with the first level that is over the limit', async () => {
    assert.deepEqual(await visit({ start: 1, end: 10, step: 1 }, 3), [1, 2, 3, 4]);
    assert.deepEqual(await visit({ start: 1, end: 0, step: 2 }, 4), [1, 3, 5]);
  });

  test('ends when a level could not be measured', async () => {
    assert.deepEqual(await visit({ start: 1, end: 10, step: 1 }, 0, false, 3), [1, 2, 3]);
  });

  test('by halves finds the highest level within the limit, as exactly as the step says', async () => {
    assert.deepEqual(await visit({ start: 1, end: 64, step: 1 }, 20, true), [1, 64, 32, 16, 24, 20, 22, 21]);
    assert.deepEqual(await visit({ start: 1, end: 64, step: 16 }, 20, true), [1, 64, 32, 16]);
  });

  test('by halves ends at once when an end of the range decides', async () => {
    assert.deepEqual(await visit({ start: 30, end: 64, step: 1 }, 20, true), [30]);
    assert.deepEqual(await visit({ start: 1, end: 16, step: 1 }, 20, true), [1, 16]);
  });
});
