import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { decodeStrings } from '../tensor/index.ts';
import { type DataSet, loadInputs } from './input-data.ts';
import type { ModelInfo } from './model-info.ts';
import type { InputSource } from './options.ts';
import { PerfError } from './perf-error.ts';
import { seededRandom } from './random.ts';

const MODEL: ModelInfo = {
  name: 'm',
  version: '',
  maxBatchSize: 4,
  inputs: [
    { name: 'A', datatype: 'INT32', dims: [2], optional: false },
    { name: 'S', datatype: 'BYTES', dims: [-1], optional: false },
    { name: 'O', datatype: 'FP32', dims: [1], optional: true },
  ],
  outputs: [{ name: 'OUT', datatype: 'INT32', shape: [-1, 2] }],
  scheduler: 'none',
  decoupled: false,
  responseCache: false,
  composing: [],
};

const folder = mkdtempSync(join(tmpdir(), 'goodput-perf-'));
after(() => rmSync(folder, { recursive: true }));

function load(inputs: InputSource, shapes: Record<string, readonly number[]> = { S: [2] }): DataSet {
  const options = {
    inputs,
    shapes: new Map(Object.entries(shapes)),
    stringLength: 3,
    stringData: undefined,
    batchSize: 1,
  };
  return loadInputs(MODEL, options, seededRandom(1));
}

function json(text: string, shapes?: Record<string, readonly number[]>): DataSet {
  const path = join(folder, 'data.json');
  writeFileSync(path, text);
  return load({ kind: 'files', paths: [path] }, shapes);
}

const ints = (data: Uint8Array | undefined): number[] => [...new Int32Array(Uint8Array.from(data ?? []).buffer)];

describe('the inputs of requests', () => {
  test('are made at random: small integers, strings of the length asked for, nothing for optional inputs', () => {
    const [[step] = []] = load({ kind: 'random' }).streams;
    assert.deepEqual(
      step?.inputs.map(({ name, shape }) => [name, shape]),
      [
        ['A', [2]],
        ['S', [2]],
      ],
    );
    for (const value of ints(step?.inputs[0]?.data)) assert.ok(value >= 0 && value < 128);
    assert.deepEqual(
      decodeStrings(step?.inputs[1]?.data ?? new Uint8Array(0)).map(({ length }) => length),
      [3, 3],
    );
  });

  test('are zero when asked for', () => {
    const [[step] = []] = load({ kind: 'zero' }).streams;
    assert.deepEqual(ints(step?.inputs[0]?.data), [0, 0]);
  });

  test('come from JSON: a list of requests is one stream, a list of lists several', () => {
    const one = json(
      '{"data": [{"A": [1, 2], "S": ["x"]}, {"A": [[3], [4]], "S": {"content": ["y", "z"], "shape": [2]}}]}',
      {},
    );
    assert.deepEqual(
      one.streams.map((steps) => steps.length),
      [2],
    );
    assert.deepEqual(ints(one.streams[0]?.[1]?.inputs[0]?.data), [3, 4]);
    assert.deepEqual(one.streams[0]?.[1]?.inputs[1]?.shape, [2]);
    const several = json(
      '{"data": [[{"A": [1, 2], "S": ["x"], "O": [0.5]}], [{"A": [1, 2], "S": ["x"]}, {"A": [5, 6], "S": ["x"]}]]}',
      {},
    );
    assert.deepEqual(
      several.streams.map((steps) => steps.length),
      [1, 2],
    );
    assert.equal(several.streams[0]?.[0]?.inputs.length, 3);
  });

  test('come in base64, and with what should come back', () => {
    const data = json(
      '{"data": [{"A": {"b64": "AQAAAAIAAAA="}, "S": {"b64": "aGk="}}], "validation_data": [{"OUT": [7, 8]}]}',
      {},
    );
    const [[step] = []] = data.streams;
    assert.deepEqual(ints(step?.inputs[0]?.data), [1, 2]);
    assert.deepEqual(decodeStrings(step?.inputs[1]?.data ?? new Uint8Array(0)), ['hi']);
    assert.deepEqual(ints(step?.expected.get('OUT')), [7, 8]);
  });

  test('come from a folder with a file for each input', () => {
    writeFileSync(join(folder, 'A'), Buffer.from([1, 0, 0, 0, 2, 0, 0, 0]));
    writeFileSync(join(folder, 'S'), 'first\nsecond\n');
    const [[step] = []] = load({ kind: 'files', paths: [folder] }).streams;
    assert.deepEqual(ints(step?.inputs[0]?.data), [1, 2]);
    assert.deepEqual(decodeStrings(step?.inputs[1]?.data ?? new Uint8Array(0)), ['first', 'second']);
  });

  for (const [what, make, message] of [
    ['an open shape', () => load({ kind: 'random' }, {}), /input S contains dynamic shape, .* --shape S:N/],
    [
      'a shape for no input',
      () => load({ kind: 'random' }, { T: [1] }),
      /--shape names 'T': the inputs of model 'm' are A, S, O/,
    ],
    ['a shape that does not fit', () => load({ kind: 'random' }, { A: [3] }), /--shape A:3 does not fit .* \[2\]/],
    ['a path that is not there', () => load({ kind: 'files', paths: ['/none'] }), /no file or folder '\/none'/],
    ['JSON that is none', () => json('{'), /is no JSON/],
    ['JSON without data', () => json('{}'), /has no 'data'/],
    [
      'an input that does not exist',
      () => json('{"data": [{"B": [1]}]}'),
      /stream 0, step 0: model 'm' has no input 'B', it has A, S, O/,
    ],
    ['an input that is missing', () => json('{"data": [{"A": [1, 2]}]}'), /there is no value for input 'S'/],
    [
      'too many elements',
      () => json('{"data": [{"A": [1, 2, 3], "S": ["x"]}]}', {}),
      /input 'A': 3 elements do not make shape \[2\], which has 2/,
    ],
    ['elements of another type', () => json('{"data": [{"A": ["a", "b"], "S": ["x"]}]}', {}), /input 'A': .*non-/],
    [
      'bytes that are too few',
      () => json('{"data": [{"A": {"b64": "AQ=="}, "S": ["x"]}]}', {}),
      /1 bytes are not the 8 of shape \[2\]/,
    ],
  ] as const) {
    test(`with ${what} are refused, by name`, () => {
      assert.throws(make, (error) => error instanceof PerfError && message.test(error.message));
    });
  }
});
