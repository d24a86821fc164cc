import { invalidArgument } from '../core/index.ts';
import { type DataType, encodeBytes, isDataType } from '../tensor/index.ts';
import type {
  InferenceRequest,
  InputTensor,
  ParameterValue,
  Parameters,
  RequestedOutput,
  SharedMemoryReference,
} from './inference.ts';
import { NO_PARAMETERS } from './inference.ts';
import { type ParameterTypeError, splitParameters } from './parameters.ts';
import { WIRE_BYTES, WireReader } from './wire-reader.ts';

/** A decoded `ModelInferRequest`. */
export interface GrpcInferRequest {
  readonly request: InferenceRequest;
  /** `triton_enable_empty_final_response` was set. */
  readonly emptyFinalResponse: boolean;
}

interface RawInput {
  name: string;
  datatype: string;
  shape: number[];
  parameters: Record<string, ParameterValue>;
  /** Set when typed `contents` were sent: the packed bytes, in the order of fields 1 to 8, with the element count. */
  contents: readonly TypedContents[] | undefined;
}

interface TypedContents {
  readonly field: number;
  readonly data: Uint8Array;
}

/**
 * Decodes a serialized `ModelInferRequest`. Raw input contents become views on `message`.
 * @throws INVALID_ARG in Triton's words
 */
export function decodeInferRequest(message: Buffer): GrpcInferRequest {
  const reader = new WireReader(message);
  let modelName = '';
  let modelVersion = '';
  let id = '';
  let parameters: Record<string, ParameterValue> | undefined;
  const inputs: RawInput[] = [];
  const outputs: RequestedOutput[] = [];
  const raw: Buffer[] = [];
  for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
    switch (tag) {
      case 0x0a:
        modelName = reader.string();
        break;
      case 0x12:
        modelVersion = reader.string();
        break;
      case 0x1a:
        id = reader.string();
        break;
      case 0x22:
        parameters ??= {};
        readParameter(reader.message(), parameters);
        break;
      case 0x2a:
        inputs.push(readInput(reader.message()));
        break;
      case 0x32:
        outputs.push(readOutput(reader.message()));
        break;
      case 0x3a:
        raw.push(reader.bytes());
        break;
      default:
        reader.skip(tag);
    }
  }
  const reserved = splitParameters(parameters ?? NO_PARAMETERS, grpcTypeError);
  return {
    request: {
      modelName,
      modelVersion,
      id,
      inputs: bindData(modelName, inputs, raw),
      outputs,
      parameters: reserved.rest,
      ...(reserved.sequence ? { sequence: reserved.sequence } : {}),
      priority: reserved.priority,
      timeoutMicros: reserved.timeoutMicros,
    },
    emptyFinalResponse: reserved.emptyFinalResponse,
  };
}

const GRPC_TYPE: Record<string, string> = {
  'unsigned-integer': 'uint64_param or int64_param',
  boolean: 'bool_param',
  string: 'int64_param or string_param',
};

const grpcTypeError: ParameterTypeError = (name, expected) =>
  invalidArgument(`invalid value type for '${name}' parameter, expected ${GRPC_TYPE[expected] ?? expected}.`);

function readParameter(entry: WireReader, into: Record<string, ParameterValue>): void {
  let key = '';
  let value: ParameterValue | undefined;
  for (let tag = entry.tag(); tag !== 0; tag = entry.tag()) {
    if (tag === 0x0a) key = entry.string();
    else if (tag === 0x12) value = readParameterValue(entry.message());
    else entry.skip(tag);
  }
  if (value !== undefined) into[key] = value;
}

function readParameterValue(reader: WireReader): ParameterValue | undefined {
  let value: ParameterValue | undefined;
  for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
    switch (tag) {
      case 0x08:
        value = reader.bool();
        break;
      case 0x10:
        value = reader.int64();
        break;
      case 0x1a:
        value = reader.string();
        break;
      case 0x21:
        value = reader.double();
        break;
      case 0x28:
        value = reader.bigVarint();
        break;
      default:
        reader.skip(tag);
    }
  }
  return value;
}

function readInput(reader: WireReader): RawInput {
  const input: RawInput = { name: '', datatype: '', shape: [], parameters: {}, contents: undefined };
  for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
    switch (tag) {
      case 0x0a:
        input.name = reader.string();
        break;
      case 0x12:
        input.datatype = reader.string();
        break;
      case 0x18:
        input.shape.push(reader.signed());
        break;
      case 0x1a:
        readPackedShape(reader.message(), input.shape);
        break;
      case 0x22:
        readParameter(reader.message(), input.parameters);
        break;
      case 0x2a:
        input.contents = readContents(reader.message());
        break;
      default:
        reader.skip(tag);
    }
  }
  return input;
}

function readPackedShape(reader: WireReader, shape: number[]): void {
  while (!reader.done()) shape.push(reader.signed());
}

function readOutput(reader: WireReader): RequestedOutput {
  let name = '';
  const parameters: Record<string, ParameterValue> = {};
  for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
    if (tag === 0x0a) name = reader.string();
    else if (tag === 0x12) readParameter(reader.message(), parameters);
    else reader.skip(tag);
  }
  const sharedMemory = sharedMemoryOf(parameters);
  return {
    name,
    classification: Number(parameters['classification'] ?? 0),
    binary: true,
    ...(sharedMemory ? { sharedMemory } : {}),
  };
}

function sharedMemoryOf(parameters: Parameters): SharedMemoryReference | undefined {
  const region = parameters['shared_memory_region'];
  if (region === undefined) return undefined;
  if (typeof region !== 'string') throw grpcTypeError('shared_memory_region', 'string');
  return {
    region,
    offset: Number(parameters['shared_memory_offset'] ?? 0),
    byteSize: Number(parameters['shared_memory_byte_size'] ?? 0),
  };
}

/** The contents field that carries a data type, and bytes per element of the packed result. */
const CONTENTS_FIELD: Record<DataType, number> = {
  BOOL: 1,
  INT8: 2,
  INT16: 2,
  INT32: 2,
  INT64: 3,
  UINT8: 4,
  UINT16: 4,
  UINT32: 4,
  UINT64: 5,
  FP32: 6,
  FP64: 7,
  BYTES: 8,
  FP16: 0,
  BF16: 0,
};

/** Each present field of `InferTensorContents`, as 8-byte values (numbers), or as an encoded BYTES tensor (field 8). */
function readContents(reader: WireReader): readonly TypedContents[] {
  const numbers = new Map<number, (number | bigint)[]>();
  const strings: Uint8Array[] = [];
  const list = (field: number): (number | bigint)[] => {
    const known = numbers.get(field);
    if (known) return known;
    const fresh: (number | bigint)[] = [];
    numbers.set(field, fresh);
    return fresh;
  };
  for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
    const field = tag >>> 3;
    if (field < 1 || field > 8) {
      reader.skip(tag);
    } else if (field === 8) {
      strings.push(reader.bytes());
    } else if ((tag & 7) === WIRE_BYTES) {
      const packed = reader.message();
      while (!packed.done()) list(field).push(readNumber(packed, field));
    } else {
      list(field).push(readNumber(reader, field));
    }
  }
  const contents: TypedContents[] = [...numbers].map(([field, values]) => ({ field, data: packWide(values, field) }));
  if (strings.length > 0) contents.push({ field: 8, data: encodeBytes(strings) });
  return contents;
}

function readNumber(reader: WireReader, field: number): number | bigint {
  switch (field) {
    case 6:
      return reader.float();
    case 7:
      return reader.double();
    case 3:
    case 5:
      return reader.bigVarint();
    default:
      return reader.signed();
  }
}

/** Eight bytes a value: doubles for fields 6 and 7, 64-bit integers for the others. */
function packWide(values: readonly (number | bigint)[], field: number): Uint8Array {
  const bytes = new Uint8Array(values.length * 8);
  const view = new DataView(bytes.buffer);
  values.forEach((value, index) => {
    if (field === 6 || field === 7) view.setFloat64(index * 8, Number(value), true);
    else view.setBigUint64(index * 8, BigInt.asUintN(64, BigInt(value)), true);
  });
  return bytes;
}

function narrow(wide: Uint8Array, datatype: DataType): Uint8Array {
  if (datatype === 'BYTES') return wide;
  const count = wide.length / 8;
  const from = new DataView(wide.buffer, wide.byteOffset);
  switch (datatype) {
    case 'INT64':
    case 'UINT64':
    case 'FP64':
      return wide;
    case 'FP32': {
      const values = new Float32Array(count);
      for (let index = 0; index < count; index++) values[index] = from.getFloat64(index * 8, true);
      return new Uint8Array(values.buffer);
    }
    case 'INT32':
    case 'UINT32': {
      const values = new Uint32Array(count);
      for (let index = 0; index < count; index++) values[index] = from.getUint32(index * 8, true);
      return new Uint8Array(values.buffer);
    }
    case 'INT16':
    case 'UINT16': {
      const values = new Uint16Array(count);
      for (let index = 0; index < count; index++) values[index] = from.getUint16(index * 8, true);
      return new Uint8Array(values.buffer);
    }
    case 'BOOL':
    case 'INT8':
    case 'UINT8': {
      const values = new Uint8Array(count);
      for (let index = 0; index < count; index++) values[index] = from.getUint8(index * 8);
      return values;
    }
    case 'FP16':
    case 'BF16':
      throw invalidArgument(`${datatype} tensors must be sent in raw_input_contents`);
    default:
      return datatype satisfies never;
  }
}

const EMPTY = new Uint8Array(0);

/** Gives every input its bytes: raw contents in order, typed contents, or shared memory. */
function bindData(modelName: string, inputs: readonly RawInput[], raw: readonly Buffer[]): readonly InputTensor[] {
  let nextRaw = 0;
  return inputs.map((input) => {
    const sharedMemory = sharedMemoryOf(input.parameters);
    const datatype = input.datatype;
    const bind = (data: Uint8Array): InputTensor => ({
      name: input.name,
      // An unknown type is reported together with the type that the model expects.
      datatype: isDataType(datatype) ? datatype : ('<invalid>' as DataType),
      shape: input.shape,
      data,
      ...(sharedMemory ? { sharedMemory } : {}),
    });
    if (sharedMemory) {
      if (input.contents) {
        throw invalidArgument(
          `unexpected 'content' provided when using shared memory for input tensor '${input.name}' for model '${modelName}'`,
        );
      }
      return bind(EMPTY);
    }
    if (raw.length > 0) {
      if (input.contents) {
        throw invalidArgument(
          `contents field must not be specified when using raw_input_contents for '${input.name}' for model '${modelName}'`,
        );
      }
      const data = raw[nextRaw++];
      if (data === undefined) {
        throw invalidArgument(
          `unable to find data for input tensor '${input.name}' for model '${modelName}' in request.`,
        );
      }
      return bind(data);
    }
    return bind(typedData(modelName, input));
  });
}

function typedData(modelName: string, input: RawInput): Uint8Array {
  const contents = input.contents ?? [];
  if (contents.length > 1) {
    throw invalidArgument(
      `unexpected explicit tensor data for input tensor '${input.name}' for model '${modelName}', binary data was already supplied.`,
    );
  }
  const only = contents[0];
  if (only === undefined || !isDataType(input.datatype)) return EMPTY;
  if (CONTENTS_FIELD[input.datatype] !== only.field) {
    throw invalidArgument(
      `unexpected explicit tensor data for input tensor '${input.name}' for model '${modelName}' of type '${input.datatype}', expected datatype '${input.datatype}'`,
    );
  }
  return narrow(only.data, input.datatype);
}
