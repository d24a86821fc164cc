import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import fc from 'fast-check';
import {
  ModelInferRequestSchema,
  ModelInferResponseSchema,
  ModelStreamInferResponseSchema,
} from './generated/grpc_service_pb.js';
import {
  decodeInferRequest,
  encodeInferResponseFrame,
  grpcFrame,
  type InferenceResponse,
  NO_PARAMETERS,
} from './index.ts';

const decode = (
  init: Parameters<typeof create<typeof ModelInferRequestSchema>>[1],
): ReturnType<typeof decodeInferRequest> =>
  decodeInferRequest(Buffer.from(toBinary(ModelInferRequestSchema, create(ModelInferRequestSchema, init))));

/** Messages that protobuf does not allow. */
const MALFORMED = {
  'a field without a number': '000a0161',
  'text that is not UTF-8': '0a02c328',
  'a field cut off': '0a05616263',
};

const shape = fc.array(fc.nat({ max: 2 ** 40 }), { maxLength: 5 });

describe('ModelInferRequest', () => {
  for (const [what, hex] of Object.entries(MALFORMED)) {
    test(`with ${what} is refused`, () => {
      assert.throws(() => decodeInferRequest(Buffer.from(hex, 'hex')), /malformed protobuf message/);
    });
  }

  test('is decoded as generated code encodes it', () => {
    const input = fc.record({ name: fc.string(), shape, data: fc.uint8Array({ maxLength: 64 }) });
    fc.assert(
      fc.property(
        fc.string(),
        fc.string(),
        fc.string(),
        fc.array(input, { maxLength: 4 }),
        (name, version, id, inputs) => {
          const { request } = decode({
            modelName: name,
            modelVersion: version,
            id,
            inputs: inputs.map((each) => ({ name: each.name, datatype: 'UINT8', shape: each.shape.map(BigInt) })),
            rawInputContents: inputs.map((each) => each.data),
          });
          assert.equal(request.modelName, name);
          assert.equal(request.modelVersion, version);
          assert.equal(request.id, id);
          assert.deepEqual(
            request.inputs.map((each) => ({ name: each.name, shape: each.shape, data: [...each.data] })),
            inputs.map((each) => ({ name: each.name, shape: each.shape, data: [...each.data] })),
          );
        },
      ),
    );
  });

  test('parameters keep their type and exact 64-bit values', () => {
    const { request, emptyFinalResponse } = decode({
      parameters: {
        text: { parameterChoice: { case: 'stringParam', value: 'x' } },
        flag: { parameterChoice: { case: 'boolParam', value: false } },
        small: { parameterChoice: { case: 'int64Param', value: -5n } },
        large: { parameterChoice: { case: 'int64Param', value: 2n ** 62n + 1n } },
        huge: { parameterChoice: { case: 'uint64Param', value: 2n ** 64n - 1n } },
        real: { parameterChoice: { case: 'doubleParam', value: 0.5 } },
        sequence_id: { parameterChoice: { case: 'int64Param', value: 42n } },
        sequence_start: { parameterChoice: { case: 'boolParam', value: true } },
        priority: { parameterChoice: { case: 'uint64Param', value: 7n } },
        triton_enable_empty_final_response: { parameterChoice: { case: 'boolParam', value: true } },
      },
    });
    assert.deepEqual(request.parameters, {
      text: 'x',
      flag: false,
      small: -5,
      large: 2n ** 62n + 1n,
      huge: 2n ** 64n - 1n,
      real: 0.5,
    });
    assert.deepEqual(request.sequence, { id: 42n, start: true, end: false });
    assert.equal(request.priority, 7n);
    assert.ok(emptyFinalResponse);
  });

  test('typed contents become the bytes of their type', () => {
    const { request } = decode({
      inputs: [
        { name: 'a', datatype: 'INT8', shape: [2n], contents: { intContents: [-1, 5] } },
        { name: 'b', datatype: 'FP32', shape: [1n], contents: { fp32Contents: [1.5] } },
        { name: 'c', datatype: 'UINT64', shape: [1n], contents: { uint64Contents: [2n ** 64n - 1n] } },
        { name: 'd', datatype: 'BOOL', shape: [2n], contents: { boolContents: [true, false] } },
        { name: 'e', datatype: 'BYTES', shape: [1n], contents: { bytesContents: [Buffer.from('hi')] } },
        { name: 'f', datatype: 'UINT16', shape: [1n], contents: { uintContents: [65_535] } },
      ],
    });
    assert.deepEqual(
      request.inputs.map((input) => [...input.data]),
      [
        [255, 5],
        [0, 0, 192, 63],
        [255, 255, 255, 255, 255, 255, 255, 255],
        [1, 0],
        [2, 0, 0, 0, 104, 105],
        [255, 255],
      ],
    );
  });

  test('reserved parameter keys are refused', () => {
    const parameters = { triton_other: { parameterChoice: { case: 'boolParam', value: true } } } as const;
    assert.throws(() => decode({ parameters }), /parameter keys starting with 'triton_' are reserved/);
  });

  test('any cut or flipped message is an error or a request, never a crash', () => {
    const message = Buffer.from(
      toBinary(
        ModelInferRequestSchema,
        create(ModelInferRequestSchema, {
          modelName: 'simple',
          inputs: [{ name: 'INPUT0', datatype: 'INT32', shape: [1n, 16n], contents: { intContents: [1, 2, 3] } }],
        }),
      ),
    );
    fc.assert(
      fc.property(
        fc.nat({ max: message.length }),
        fc.nat({ max: message.length - 1 }),
        fc.nat({ max: 255 }),
        (end, at, value) => {
          const broken = Buffer.from(message.subarray(0, end));
          if (at < end) broken[at] = value;
          try {
            decodeInferRequest(broken);
          } catch (error) {
            assert.equal((error as Error).name, 'ServerError');
          }
        },
      ),
      { numRuns: 2000 },
    );
  });
});

describe('ModelInferResponse', () => {
  const response: InferenceResponse = {
    modelName: 'môdel',
    modelVersion: '3',
    id: 'abc',
    outputs: [
      { name: 'OUTPUT0', datatype: 'INT32', shape: [2, 300], data: Buffer.from([1, 2, 3]) },
      { name: 'OUTPUT1', datatype: 'BYTES', shape: [], data: Buffer.alloc(0) },
    ],
    parameters: { final: true, count: 300, big: 2n ** 63n, text: 'ö', real: 0.25 },
  };

  test('is read back by generated code', () => {
    const frame = encodeInferResponseFrame(response, false);
    assert.equal(frame[0], 0);
    assert.equal(frame.readUInt32BE(1), frame.length - 5);
    const message = fromBinary(ModelInferResponseSchema, frame.subarray(5));
    assert.equal(message.modelName, 'môdel');
    assert.equal(message.id, 'abc');
    assert.deepEqual(
      message.outputs.map((output) => [output.name, output.datatype, output.shape]),
      [
        ['OUTPUT0', 'INT32', [2n, 300n]],
        ['OUTPUT1', 'BYTES', []],
      ],
    );
    assert.deepEqual(
      message.rawOutputContents.map((data) => [...data]),
      [[1, 2, 3], []],
    );
    assert.deepEqual(message.parameters['count']?.parameterChoice, { case: 'int64Param', value: 300n });
    assert.deepEqual(message.parameters['big']?.parameterChoice, { case: 'uint64Param', value: 2n ** 63n });
    assert.deepEqual(message.parameters['real']?.parameterChoice, { case: 'doubleParam', value: 0.25 });
  });

  test('a stream response wraps the same message', () => {
    const frame = encodeInferResponseFrame({ ...response, parameters: NO_PARAMETERS }, true);
    const message = fromBinary(ModelStreamInferResponseSchema, frame.subarray(5));
    assert.equal(message.errorMessage, '');
    assert.equal(message.inferResponse?.outputs.length, 2);
  });

  test('an output in shared memory keeps its place among the contents, empty', () => {
    const frame = encodeInferResponseFrame(response, false, new Set(['OUTPUT0']));
    const message = fromBinary(ModelInferResponseSchema, frame.subarray(5));
    assert.equal(message.outputs[0]?.name, 'OUTPUT0');
    assert.deepEqual(
      message.rawOutputContents.map((data) => data.length),
      [0, 0],
    );
  });
});

test('a frame is a flag, a big-endian length and the message', () => {
  assert.deepEqual([...grpcFrame(Buffer.from([7, 8]))], [0, 0, 0, 0, 2, 7, 8]);
});
