import assert from 'node:assert/strict';
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { ServerError } from '../../src/core/index.ts';
import { decodeInferRequest } from '../../src/protocol/index.ts';
import { type ModelInferRequest, ModelInferRequestSchema } from '../../src/protocol/generated/grpc_service_pb.js';
import { mutate, type Random } from './mutator.ts';

const encode = (message: Parameters<typeof create<typeof ModelInferRequestSchema>>[1]): Buffer =>
  Buffer.from(toBinary(ModelInferRequestSchema, create(ModelInferRequestSchema, message)));

const CORPUS: readonly Buffer[] = [
  encode({
    modelName: 'simple',
    modelVersion: '1',
    id: 'abc',
    parameters: { priority: { parameterChoice: { case: 'uint64Param', value: 3n } } },
    inputs: [
      { name: 'INPUT0', datatype: 'FP32', shape: [1n, 4n] },
      { name: 'INPUT1', datatype: 'BYTES', shape: [1n] },
    ],
    outputs: [{ name: 'OUT', parameters: { classification: { parameterChoice: { case: 'int64Param', value: 2n } } } }],
    rawInputContents: [Buffer.alloc(16), Buffer.from('05000000hello')],
  }),
  encode({
    modelName: 'typed',
    inputs: [
      { name: 'A', datatype: 'INT32', shape: [3n], contents: { intContents: [1, -1, 70_000] } },
      { name: 'B', datatype: 'BOOL', shape: [2n], contents: { boolContents: [true, false] } },
      { name: 'C', datatype: 'FP64', shape: [1n], contents: { fp64Contents: [1.5] } },
    ],
  }),
];

const DICTIONARY: readonly Buffer[] = [
  '0a00',
  '12ffffffff0f',
  '3a020801',
  '08',
  'ffffffffffffffffff01',
  '2a03',
  '0800',
  '1b',
  '1c',
  '3d00000000',
  '380180',
].map((hex) => Buffer.from(hex, 'hex'));

type Decoded = ReturnType<typeof decodeInferRequest>['request'];

/** What our decoder makes of bytes; `undefined` when it refuses them. */
function decode(bytes: Buffer): Decoded | undefined {
  try {
    return decodeInferRequest(bytes).request;
  } catch (error) {
    if (error instanceof ServerError) return undefined;
    throw new Error(`not an error of the request: ${bytes.toString('hex')}`, { cause: error });
  }
}

function generated(bytes: Buffer): ModelInferRequest | undefined {
  try {
    // Fields of a wrong kind are unknown to us and known to it: without them there is one meaning.
    return fromBinary(ModelInferRequestSchema, bytes, { readUnknownFields: false });
  } catch {
    return undefined;
  }
}

/**
 * `ModelInferRequest`: the decoder of the hot path fails in no other way than by an error of the request, and what the
 * generated code makes of an input means the same to both once it is written properly.
 */
export function fuzzInferRequest(random: Random): Promise<void> {
  const bytes = mutate(random, CORPUS, DICTIONARY);
  decode(bytes);
  const theirs = generated(bytes);
  const again = theirs && Buffer.from(toBinary(ModelInferRequestSchema, theirs));
  const ours = again && decode(again);
  if (!theirs || !ours) return Promise.resolve();
  const raw = theirs.rawInputContents;
  const expected = {
    names: [theirs.modelName, theirs.modelVersion, theirs.id],
    inputs: theirs.inputs.map(({ name, shape }) => [name, shape.map(Number)]),
    outputs: theirs.outputs.map(({ name }) => name),
    // Contents that no input is left for are not looked at, as by Triton.
    raw: raw.slice(0, ours.inputs.length).map((content) => Buffer.from(content).toString('hex')),
  };
  const actual = {
    names: [ours.modelName, ours.modelVersion, ours.id],
    inputs: ours.inputs.map(({ name, shape }) => [name, [...shape]]),
    outputs: ours.outputs.map(({ name }) => name),
    raw: raw.length === 0 ? [] : ours.inputs.map(({ data }) => Buffer.from(data).toString('hex')),
  };
  assert.deepEqual(actual, expected, again.toString('hex'));
  return Promise.resolve();
}
