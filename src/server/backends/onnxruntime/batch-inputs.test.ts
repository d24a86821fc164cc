import assert from 'node:assert/strict';
import { test } from 'node:test';
import { create } from '@bufbuild/protobuf';
import { executionUnit } from '../../../../test/support/execution-unit.ts';
import { BatchInput_Kind as Kind, BatchInputSchema, ConfigDataType } from '../../../protocol/index.ts';
import type { ExecutionUnit } from '../contract.ts';
import { batchInputTensors } from './batch-inputs.ts';

const unit = (shape: readonly number[]): ExecutionUnit =>
  executionUnit({
    inputs: [{ name: 'X', datatype: 'FP32', shape, data: new Uint8Array(0) }],
    batchSize: shape[0] ?? 0,
  });

const CASES: readonly (readonly [keyof typeof Kind, readonly number[], readonly number[]])[] = [
  ['BATCH_ELEMENT_COUNT', [2], [6, 8]],
  ['BATCH_ACCUMULATED_ELEMENT_COUNT', [2], [6, 14]],
  ['BATCH_ACCUMULATED_ELEMENT_COUNT_WITH_ZERO', [3], [0, 6, 14]],
  ['BATCH_MAX_ELEMENT_COUNT_AS_SHAPE', [8], [0, 0, 0, 0, 0, 0, 0, 0]],
  ['BATCH_ITEM_SHAPE', [3, 2], [2, 3, 4, 1, 4, 1]],
  ['BATCH_ITEM_SHAPE_FLATTEN', [6], [2, 3, 4, 1, 4, 1]],
];

for (const [kind, shape, values] of CASES) {
  for (const dataType of [ConfigDataType.TYPE_FP32, ConfigDataType.TYPE_INT32]) {
    test(`${kind} as ${ConfigDataType[dataType]}`, () => {
      const input = create(BatchInputSchema, { kind: Kind[kind], dataType, targetName: ['T'], sourceInput: ['X'] });
      // One request of shape [2, 3] and one of two items of shape [4, 1].
      const [tensor] = batchInputTensors([unit([1, 2, 3]), unit([2, 4, 1])], [input]);
      const { buffer } = tensor?.data ?? new Uint8Array(0);
      const read = dataType === ConfigDataType.TYPE_FP32 ? new Float32Array(buffer) : new Int32Array(buffer);
      assert.deepEqual(tensor?.shape, shape);
      assert.deepEqual([...read], values);
    });
  }
}
