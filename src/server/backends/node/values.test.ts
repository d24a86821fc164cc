import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { modelTensor, outputTensor } from './values.ts';

describe('the tensors of Node models', () => {
  test('are views where their bytes are aligned, and copies where they are not', () => {
    const buffer = Buffer.alloc(64);
    for (const offset of [0, 8, 1, 3, 5]) {
      const data = buffer.subarray(offset, offset + 16);
      new Uint8Array(data.buffer, data.byteOffset, 16).set(new Uint8Array(Float32Array.of(1, 2, 3, 4).buffer));
      for (const [datatype, expected] of [
        ['FP32', [1, 2, 3, 4]],
        ['INT64', [4611686019492741120n, 4647714816524288000n]],
      ] as const) {
        const tensor = modelTensor({ name: 'x', datatype, shape: [expected.length], data });
        assert.deepEqual([...tensor.values], expected, `${datatype} at ${offset}`);
      }
    }
  });

  test('come back as they went, also when their values lie inside a larger array', () => {
    const values = Int32Array.of(1, 2, 3, 4).subarray(1, 3);
    const { data, shape } = outputTensor('x', 'INT32', { shape: [2], values });
    assert.deepEqual([shape, [...data]], [[2], [2, 0, 0, 0, 3, 0, 0, 0]]);
    const texts = outputTensor('x', 'BYTES', { shape: [2], values: ['é', Uint8Array.of(0xff)] });
    const tensor = modelTensor(texts);
    assert.deepEqual([tensor.values[0], [...(tensor.elements[1] ?? [])]], ['é', [0xff]]);
  });

  test('of another type, length or shape are refused', () => {
    const refuse = (datatype: 'FP32' | 'BYTES', shape: readonly number[], values: unknown, message: RegExp): void => {
      assert.throws(() => outputTensor('x', datatype, { shape, values } as never), message);
    };
    refuse(
      'FP32',
      [2],
      Float64Array.of(1, 2),
      /output 'x' is FP32: its values must be a Float32Array, got Float64Array/,
    );
    refuse('FP32', [2], [1, 2], /must be a Float32Array, got Array/);
    refuse('FP32', [2], undefined, /must be a Float32Array, got undefined/);
    refuse('FP32', [3], Float32Array.of(1), /has shape \[3\], which is 3 values, got 1/);
    refuse('FP32', [-1], Float32Array.of(1), /needs a shape of integers >= 0, got \[-1\]/);
    refuse('BYTES', [1], [7], /its values must be texts or Uint8Arrays, got number/);
  });
});
