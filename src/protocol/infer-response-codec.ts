import type { InferenceResponse, ParameterValue, Parameters } from './inference.ts';
import type { SharedMemoryOutputs } from './kserve-json.ts';
import { fieldSize, varintSize, WireWriter } from './wire-writer.ts';

/** A length-prefixed gRPC message. */
const GRPC_PREFIX = 5;

interface EncodedOutput {
  readonly head: Buffer;
  readonly data: Uint8Array;
}

const EMPTY = new Uint8Array(0);

/**
 * Encodes a response as one gRPC message frame: prefix and serialized `ModelInferResponse`, tensors copied once
 * into `raw_output_contents`.
 *
 * @param asStream wrap it in a `ModelStreamInferResponse`
 */
export function encodeInferResponseFrame(
  response: InferenceResponse,
  asStream: boolean,
  sharedMemory?: SharedMemoryOutputs,
): Buffer {
  const nameLength = Buffer.byteLength(response.modelName);
  const idLength = Buffer.byteLength(response.id);
  const parameters = encodeParameterFields(response.parameters);
  const outputs: EncodedOutput[] = response.outputs.map((output) => ({
    head: encodeOutput(output.name, output.datatype, output.shape),
    data: sharedMemory?.has(output.name) ? EMPTY : output.data,
  }));

  let size = fieldSize(nameLength) + fieldSize(response.modelVersion.length) + parameters.length;
  if (idLength > 0) size += fieldSize(idLength);
  for (const output of outputs) size += fieldSize(output.head.length);
  // An output in shared memory has an empty entry: clients find contents by position.
  for (const output of outputs) size += fieldSize(output.data.length);

  const body = asStream ? fieldSize(size) : size;
  const writer = new WireWriter(GRPC_PREFIX + body);
  writer.buffer[0] = 0;
  writer.buffer.writeUInt32BE(body, 1);
  writer.offset = GRPC_PREFIX;
  if (asStream) {
    writer.varint(0x12);
    writer.varint(size);
  }
  writer.string(0x0a, response.modelName, nameLength);
  writer.string(0x12, response.modelVersion, response.modelVersion.length);
  if (idLength > 0) writer.string(0x1a, response.id, idLength);
  writer.raw(parameters);
  for (const output of outputs) writer.bytes(0x2a, output.head);
  for (const output of outputs) writer.bytes(0x32, output.data);
  return writer.buffer;
}

/** Frames an already serialized message. */
export function grpcFrame(message: Uint8Array): Buffer {
  const frame = Buffer.allocUnsafe(GRPC_PREFIX + message.length);
  frame[0] = 0;
  frame.writeUInt32BE(message.length, 1);
  frame.set(message, GRPC_PREFIX);
  return frame;
}

/** Output heads repeat from request to request: name, type and shape of a model's answers are few. */
const heads = new Map<string, Buffer>();
const MAX_HEADS = 4096;

function encodeOutput(name: string, datatype: string, shape: readonly number[]): Buffer {
  const key = `${name}\0${datatype}\0${shape.join()}`;
  const known = heads.get(key);
  if (known) return known;
  const head = plainOutput(name, datatype, shape);
  if (heads.size >= MAX_HEADS) heads.clear();
  heads.set(key, head);
  return head;
}

function plainOutput(name: string, datatype: string, shape: readonly number[]): Buffer {
  const nameLength = Buffer.byteLength(name);
  let dims = 0;
  for (const dim of shape) dims += varintSize(dim);
  const writer = new WireWriter(
    fieldSize(nameLength) + fieldSize(datatype.length) + (shape.length > 0 ? fieldSize(dims) : 0),
  );
  writer.string(0x0a, name, nameLength);
  writer.string(0x12, datatype, datatype.length);
  if (shape.length > 0) {
    writer.varint(0x1a);
    writer.varint(dims);
    for (const dim of shape) writer.varint(dim);
  }
  return writer.buffer;
}

/** A `map<string, InferParameter> parameters = 4` field, empty for no parameters. */
function encodeParameterFields(parameters: Parameters): Buffer {
  const entries = Object.entries(parameters);
  if (entries.length === 0) return Buffer.alloc(0);
  return Buffer.concat(
    entries.map(([key, value]) => {
      const choice = encodeChoice(value);
      const keyLength = Buffer.byteLength(key);
      const entry = fieldSize(keyLength) + fieldSize(choice.length);
      const writer = new WireWriter(fieldSize(entry));
      writer.varint(0x22);
      writer.varint(entry);
      writer.string(0x0a, key, keyLength);
      writer.bytes(0x12, choice);
      return writer.buffer;
    }),
  );
}

function encodeChoice(value: ParameterValue): Buffer {
  switch (typeof value) {
    case 'boolean':
      return Buffer.from([0x08, value ? 1 : 0]);
    case 'string': {
      const length = Buffer.byteLength(value);
      const writer = new WireWriter(fieldSize(length));
      writer.string(0x1a, value, length);
      return writer.buffer;
    }
    case 'number':
      if (!Number.isInteger(value)) {
        const buffer = Buffer.alloc(9);
        buffer[0] = 0x21;
        buffer.writeDoubleLE(value, 1);
        return buffer;
      }
      return encodeInt64(BigInt(value), 0x10);
    case 'bigint':
      return encodeInt64(value, value > 0x7fffffffffffffffn ? 0x28 : 0x10);
    default:
      return value satisfies never;
  }
}

function encodeInt64(value: bigint, tag: number): Buffer {
  const bytes = [tag];
  for (let rest = BigInt.asUintN(64, value); ; rest >>= 7n) {
    if (rest < 128n) {
      bytes.push(Number(rest));
      return Buffer.from(bytes);
    }
    bytes.push(Number(rest & 0x7fn) | 0x80);
  }
}
