import assert from 'node:assert/strict';
import { test } from 'node:test';
import { decodeStrings, type Tensor } from '../../tensor/index.ts';
import { controlTensors, type SequenceControls } from './index.ts';

const ID = 2n ** 64n - 2n;
const QUIET = { start: false, ready: true, end: false } as const;

const read: Readonly<Record<string, (bytes: Buffer) => number | bigint>> = {
  UINT64: (bytes) => bytes.readBigUInt64LE(),
  INT64: (bytes) => bytes.readBigInt64LE(),
  UINT32: (bytes) => bytes.readUInt32LE(),
  INT32: (bytes) => bytes.readInt32LE(),
};

/** What a correlation id of `2^64 - 2` is in each type that a model may take it in. */
const IDS = [
  ['UINT64', ID],
  ['INT64', -2n],
  ['UINT32', 4_294_967_294],
  ['INT32', -2],
] as const;

function only(controls: SequenceControls, id: bigint | string, batching: boolean): Tensor {
  const [tensor] = controlTensors(controls, QUIET, id, batching);
  assert.ok(tensor);
  return tensor;
}

for (const [datatype, expected] of IDS) {
  test(`a correlation id as ${datatype}`, () => {
    const tensor = only({ flags: [], id: { name: 'C', datatype } }, ID, true);
    assert.deepEqual(tensor.shape, [1, 1]);
    assert.equal(read[datatype]?.(Buffer.from(tensor.data)), expected);
  });
}

test('a correlation id as a text', () => {
  const tensor = only({ flags: [], id: { name: 'C', datatype: 'BYTES' } }, 'né', false);
  assert.deepEqual(tensor.shape, [1]);
  assert.deepEqual(decodeStrings(tensor.data), ['né']);
});
