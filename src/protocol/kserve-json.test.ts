import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import {
  encodeInferResponse,
  jsonText,
  modelConfigFromJson,
  modelConfigToJson,
  NO_PARAMETERS,
  parseInferRequest,
  parseJsonText,
} from './index.ts';

const parse = (body: string | Buffer, headerLength?: number): ReturnType<typeof parseInferRequest> =>
  parseInferRequest('m', '', Buffer.from(body), headerLength);

const input = (rest: string): string => `{"inputs":[{"name":"I","datatype":"INT32","shape":[2],${rest}}]}`;

test('integers beyond 2^53 stay exact both ways', () => {
  const text = '{"a":[18446744073709551615,-9223372036854775808],"b":"18446744073709551615"}';
  assert.equal(jsonText(parseJsonText(text)), text);
  const config = modelConfigFromJson('{"dynamic_batching":{"priority_levels":18446744073709551615}}');
  assert.match(modelConfigToJson(config), /"priority_levels":18446744073709551615/);
});

describe('infer request', () => {
  test('JSON data becomes bytes', () => {
    const { request, binaryByDefault } = parse(input('"data":[1,-2]'));
    assert.deepEqual([...(request.inputs[0]?.data ?? [])], [1, 0, 0, 0, 254, 255, 255, 255]);
    assert.equal(binaryByDefault, false);
  });

  test('binary tensors are views on the body, in order', () => {
    const header =
      '{"id":"7","inputs":[{"name":"A","datatype":"UINT8","shape":[2],"parameters":{"binary_data_size":2}},{"name":"B","datatype":"UINT8","shape":[1],"parameters":{"binary_data_size":1}}],"parameters":{"binary_data_output":true,"k":1}}';
    const body = Buffer.concat([Buffer.from(header), Buffer.from([1, 2, 3])]);
    for (let round = 0; round < 2; round++) {
      const { request, binaryByDefault } = parse(body, header.length);
      assert.equal(request.id, '7');
      assert.deepEqual(
        request.inputs.map((tensor) => [...tensor.data]),
        [[1, 2], [3]],
      );
      assert.deepEqual(request.parameters, { k: 1 });
      assert.ok(binaryByDefault);
    }
  });

  test('a known header does not bring its old data back', () => {
    const header = '{"inputs":[{"name":"A","datatype":"UINT8","shape":[1],"parameters":{"binary_data_size":1}}]}';
    for (const byte of [5, 6]) {
      const { request } = parse(Buffer.concat([Buffer.from(header), Buffer.from([byte])]), header.length);
      assert.equal(request.inputs[0]?.data[0], byte);
    }
  });

  test('integers beyond 2^53 are exact', () => {
    const { request } = parse('{"inputs":[{"name":"I","datatype":"INT64","shape":[1],"data":[9223372036854775807]}]}');
    assert.equal(Buffer.from(request.inputs[0]?.data ?? []).readBigInt64LE(), 9_223_372_036_854_775_807n);
  });

  test('NaN and Infinity are numbers outside of strings only', () => {
    const { request } = parse(
      '{"id":"NaN","inputs":[{"name":"I","datatype":"FP32","shape":[2],"data":[NaN,-Infinity]}]}',
    );
    assert.equal(request.id, 'NaN');
    const data = Buffer.from(request.inputs[0]?.data ?? []);
    assert.ok(Number.isNaN(data.readFloatLE(0)));
    assert.equal(data.readFloatLE(4), Number.NEGATIVE_INFINITY);
  });

  test('outputs keep their order and carry what was asked', () => {
    const { request } = parse(
      '{"inputs":[],"outputs":[{"name":"O","parameters":{"classification":3,"binary_data":true}},{"name":"O"}]}',
    );
    assert.deepEqual(
      request.outputs.map(({ name, classification }) => [name, classification]),
      [
        ['O', 3],
        ['O', 0],
      ],
    );
  });

  const mistakes: readonly (readonly [string, string, RegExp])[] = [
    ['no JSON', '{', /^failed to parse the request JSON buffer: /],
    ['no inputs', '{}', /^Unable to parse 'inputs': attempt to access non-existing object member 'inputs'$/],
    [
      'inputs of a wrong type',
      '{"inputs":{}}',
      /^Unable to parse 'inputs': attempt to access JSON non-array as array$/,
    ],
    [
      'id of a wrong type',
      '{"id":3,"inputs":[]}',
      /^Unable to parse 'id': attempt to access JSON non-string as string$/,
    ],
    [
      'an unknown data type',
      '{"inputs":[{"name":"I","datatype":"X","shape":[1],"data":[1]}]}',
      /^invalid datatype for input I$/,
    ],
    ['no data', '{"inputs":[{"name":"I","datatype":"INT32","shape":[1]}]}', /But no field is set$/],
    ['data twice', input('"data":[1,2],"parameters":{"binary_data_size":8}'), /But set 'data' 'binary_data_size'$/],
    [
      'a negative dimension',
      '{"inputs":[{"name":"I","datatype":"INT32","shape":[-1],"data":[1]}]}',
      /^Unable to parse 'shape': /,
    ],
    [
      'FP16 as JSON',
      '{"inputs":[{"name":"I","datatype":"FP16","shape":[1],"data":[1]}]}',
      /^receiving FP16 data via JSON is not supported/,
    ],
    ['a structured parameter', '{"inputs":[],"parameters":{"a":[1]}}', /^parameter 'a' has invalid type/],
    [
      'a reserved parameter',
      '{"inputs":[],"parameters":{"triton_a":1}}',
      /^parameter keys starting with 'triton_' are reserved/,
    ],
    [
      'an overflowing shape',
      '{"inputs":[{"name":"I","datatype":"INT32","shape":[9007199254740991,9007199254740991],"data":[1]}]}',
      /out of range/,
    ],
  ];
  for (const [what, body, message] of mistakes) {
    test(`${what} is refused`, () => assert.throws(() => parse(body), { name: 'ServerError', message }));
  }

  test('too few and too many binary bytes are refused', () => {
    const header = '{"inputs":[{"name":"A","datatype":"UINT8","shape":[2],"parameters":{"binary_data_size":2}}]}';
    const body = (bytes: number): Buffer => Buffer.concat([Buffer.from(header), Buffer.alloc(bytes)]);
    assert.throws(
      () => parse(body(1), header.length),
      /unexpected size for input 'A', expecting 1 additional bytes for model 'm'/,
    );
    assert.throws(() => parse(body(3), header.length), /unexpected additional input data for model 'm'/);
  });
});

describe('infer response', () => {
  const response = {
    modelName: 'm',
    modelVersion: '1',
    id: '',
    outputs: [
      { name: 'A', datatype: 'INT32' as const, shape: [1, 1], data: Buffer.from([1, 0, 0, 0]) },
      { name: 'B', datatype: 'BYTES' as const, shape: [1], data: Buffer.from([2, 0, 0, 0, 104, 34]) },
    ],
    parameters: NO_PARAMETERS,
  };

  test('JSON and binary outputs mix', () => {
    const { json, binary, binaryBytes } = encodeInferResponse(response, (name) => name === 'A');
    assert.deepEqual(JSON.parse(json), {
      model_name: 'm',
      model_version: '1',
      outputs: [
        { name: 'A', datatype: 'INT32', shape: [1, 1], parameters: { binary_data_size: 4 } },
        { name: 'B', datatype: 'BYTES', shape: [1], data: ['h"'] },
      ],
    });
    assert.equal(binary.length, 1);
    assert.equal(binaryBytes, 4);
  });

  test('FP16 has no JSON form', () => {
    const half = {
      ...response,
      outputs: [{ name: 'H', datatype: 'FP16' as const, shape: [1], data: Buffer.alloc(2) }],
    };
    assert.throws(() => encodeInferResponse(half, () => false), /sending FP16 data via JSON is not supported/);
  });
});
