import { internalError, invalidArgument, type ServerError } from '../core/index.ts';
import { type DataType, elementCount, isDataType, packJsonData, tensorToJson } from '../tensor/index.ts';
import type {
  InferenceRequest,
  InferenceResponse,
  InputTensor,
  ParameterValue,
  Parameters,
  RequestedOutput,
  SharedMemoryReference,
} from './inference.ts';
import { NO_PARAMETERS } from './inference.ts';
import { isJsonObject, type JsonObject, parseJsonText } from './json-text.ts';
import { type ParameterTypeError, type ReservedParameters, splitParameters } from './parameters.ts';

/** Which outputs a JSON request wants as binary data when it names none. */
export interface HttpInferRequest {
  readonly request: InferenceRequest;
  readonly binaryByDefault: boolean;
}

const EMPTY = new Uint8Array(0);

/**
 * Parses the body of `POST /v2/models/M/infer`: a JSON object, followed by the binary tensors it announces.
 * Tensors sent as binary data are views on `body`.
 *
 * @param headerLength bytes of JSON (`Inference-Header-Content-Length`); the whole body when undefined
 * @throws INTERNAL or INVALID_ARG in Triton's words
 */
export function parseInferRequest(
  modelName: string,
  modelVersion: string,
  body: Uint8Array,
  headerLength: number | undefined,
): HttpInferRequest {
  const jsonLength = headerLength ?? body.length;
  const header = readHeader(bufferOf(body).toString('utf8', 0, jsonLength), headerLength !== undefined);
  const binary = new BinarySection(modelName, body, jsonLength);
  const inputs = header.inputs.map((input) =>
    input.binarySize === undefined
      ? input.tensor
      : { ...input.tensor, data: binary.take(input.tensor.name, input.binarySize) },
  );
  binary.finish();
  const { reserved } = header;
  return {
    request: {
      modelName,
      modelVersion,
      id: header.id,
      inputs,
      outputs: header.outputs,
      parameters: reserved.rest,
      ...(reserved.sequence ? { sequence: reserved.sequence } : {}),
      priority: reserved.priority,
      timeoutMicros: reserved.timeoutMicros,
    },
    binaryByDefault: reserved.binaryDataOutput,
  };
}

/** The JSON part of a request, checked. Tensors that travel as binary data have no bytes yet. */
interface InferHeader {
  readonly id: string;
  readonly reserved: ReservedParameters;
  readonly inputs: readonly HeaderInput[];
  readonly outputs: readonly RequestedOutput[];
}

interface HeaderInput {
  readonly tensor: InputTensor;
  readonly binarySize: number | undefined;
}

/**
 * Headers of binary requests, by their text: a client that sends tensors of one shape sends the same header every
 * time. Holds no tensor data.
 */
const knownHeaders = new Map<string, InferHeader>();
const MAX_KNOWN_HEADERS = 256;
const MAX_KNOWN_HEADER_LENGTH = 4096;

function readHeader(text: string, isBinary: boolean): InferHeader {
  const mayKeep = isBinary && text.length <= MAX_KNOWN_HEADER_LENGTH;
  const known = mayKeep ? knownHeaders.get(text) : undefined;
  if (known) return known;
  const header = parseHeader(text);
  if (mayKeep && header.inputs.every((input) => input.binarySize !== undefined)) {
    if (knownHeaders.size >= MAX_KNOWN_HEADERS) knownHeaders.clear();
    knownHeaders.set(text, header);
  }
  return header;
}

function parseHeader(text: string): InferHeader {
  const json = parseJsonText(text);
  if (!isJsonObject(json) || json['inputs'] === undefined) throw missingMember('inputs', 'inputs');
  return {
    id: json['id'] === undefined ? '' : stringMember(json['id'], 'id'),
    reserved: splitParameters(parseParameters(json['parameters']), jsonTypeError),
    inputs: arrayMember(json['inputs'], 'inputs').map(parseInput),
    outputs: parseOutputs(json['outputs']),
  };
}

/** The bytes after the JSON header, handed out in the order of the inputs. */
class BinarySection {
  private offset: number;
  private readonly modelName: string;
  private readonly body: Uint8Array;

  constructor(modelName: string, body: Uint8Array, offset: number) {
    this.modelName = modelName;
    this.body = body;
    this.offset = offset;
  }

  take(inputName: string, byteSize: number): Uint8Array {
    const end = this.offset + byteSize;
    if (end > this.body.length) {
      throw invalidArgument(
        `unexpected size for input '${inputName}', expecting ${end - this.body.length} additional bytes for model '${this.modelName}'`,
      );
    }
    const view = this.body.subarray(this.offset, end);
    this.offset = end;
    return view;
  }

  finish(): void {
    if (this.offset !== this.body.length) {
      throw invalidArgument(`unexpected additional input data for model '${this.modelName}'`);
    }
  }
}

function parseInput(json: unknown): HeaderInput {
  if (!isJsonObject(json)) throw sourceError([]);
  const parameters = json['parameters'] === undefined ? undefined : objectMember(json['parameters'], 'parameters');
  const binarySize = parameters?.['binary_data_size'];
  const sharedMemory = parameters === undefined ? undefined : parseSharedMemory(parameters);
  const sources = [
    json['data'] === undefined ? '' : "'data'",
    binarySize === undefined ? '' : "'binary_data_size'",
    sharedMemory === undefined ? '' : "'shared_memory_region'",
  ].filter((source) => source !== '');
  if (sources.length !== 1) throw sourceError(sources);
  const name = stringMember(requiredMember(json, 'name'), 'name');
  const datatypeText = stringMember(requiredMember(json, 'datatype'), 'datatype');
  if (!isDataType(datatypeText)) throw invalidArgument(`invalid datatype for input ${name}`);
  const shape = arrayMember(requiredMember(json, 'shape'), 'shape').map((dim) => unsignedMember(dim, 'shape'));
  const data =
    binarySize !== undefined || sharedMemory !== undefined ? EMPTY : packData(json['data'], name, datatypeText, shape);
  return {
    tensor: { name, datatype: datatypeText, shape, data, ...(sharedMemory ? { sharedMemory } : {}) },
    binarySize: binarySize === undefined ? undefined : unsignedMember(binarySize, 'binary_data_size'),
  };
}

function sourceError(sources: readonly string[]): ServerError {
  return invalidArgument(
    "Input must set only one of the following fields: 'data', 'binary_data_size' in 'parameters', 'shared_memory_region' in 'parameters'. " +
      (sources.length === 0 ? 'But no field is set' : `But set ${sources.join(' ')}`),
  );
}

function packData(data: unknown, name: string, datatype: DataType, shape: readonly number[]): Uint8Array {
  if (datatype === 'FP16' || datatype === 'BF16') {
    throw invalidArgument(
      `receiving ${datatype} data via JSON is not supported. Please use the binary data format for input ${name}`,
    );
  }
  return packJsonData(data, datatype, countOf(name, shape));
}

function countOf(name: string, shape: readonly number[]): number {
  const count = elementCount(shape);
  if (count === undefined) {
    throw invalidArgument(`input '${name}' has shape [${shape.join(',')}] whose element count is out of range`);
  }
  return count;
}

function parseOutputs(json: unknown): readonly RequestedOutput[] {
  if (json === undefined) return [];
  return arrayMember(json, 'outputs').map((entry) => {
    const object = objectMember(entry, 'outputs');
    const name = stringMember(requiredMember(object, 'name'), 'name');
    const parameters = object['parameters'] === undefined ? {} : objectMember(object['parameters'], 'parameters');
    const classes = parameters['classification'];
    const sharedMemory = parseSharedMemory(parameters);
    return {
      name,
      classification: classes === undefined ? 0 : unsignedMember(classes, 'classification', 'set'),
      binary: parameters['binary_data'] === undefined ? false : booleanMember(parameters['binary_data'], 'binary_data'),
      ...(sharedMemory ? { sharedMemory } : {}),
    };
  });
}

function parseSharedMemory(parameters: JsonObject): SharedMemoryReference | undefined {
  const region = parameters['shared_memory_region'];
  if (region === undefined) return undefined;
  return {
    region: stringMember(region, 'shared_memory_region'),
    offset: optionalUnsigned(parameters, 'shared_memory_offset'),
    byteSize: unsignedMember(requiredMember(parameters, 'shared_memory_byte_size'), 'shared_memory_byte_size'),
  };
}

/** Parameters of a request or tensor, typed. */
export function parseParameters(json: unknown): Parameters {
  if (json === undefined) return NO_PARAMETERS;
  if (!isJsonObject(json)) throw internalError('failed to get request params.: attempt to get members for non-object');
  for (const [name, value] of Object.entries(json)) {
    parameterValue(name, value);
  }
  return json as Record<string, ParameterValue>;
}

/** @throws INVALID_ARG for a value that is no parameter's */
export function parameterValue(name: string, value: unknown): ParameterValue {
  if (isParameterValue(value)) return value;
  throw invalidArgument(`parameter '${name}' has invalid type. It should be either 'int', 'bool', or 'string'.`);
}

function isParameterValue(value: unknown): value is ParameterValue {
  return ['string', 'boolean', 'number', 'bigint'].includes(typeof value);
}

const jsonTypeError: ParameterTypeError = (name, expected) =>
  internalError(`Unable to parse '${name}': attempt to access JSON non-${expected} as ${expected}`);

function missingMember(path: string, name: string): ServerError {
  return internalError(`Unable to parse '${path}': attempt to access non-existing object member '${name}'`);
}

function requiredMember(json: JsonObject, name: string): unknown {
  if (json[name] === undefined) throw missingMember(name, name);
  return json[name];
}

function wrongType(name: string, expected: string, verb = 'parse'): ServerError {
  return internalError(`Unable to ${verb} '${name}': attempt to access JSON non-${expected} as ${expected}`);
}

function stringMember(value: unknown, name: string): string {
  if (typeof value !== 'string') throw wrongType(name, 'string');
  return value;
}

function booleanMember(value: unknown, name: string): boolean {
  if (typeof value !== 'boolean') throw wrongType(name, 'boolean');
  return value;
}

function unsignedMember(value: unknown, name: string, verb = 'parse'): number {
  const number = typeof value === 'bigint' ? Number(value) : value;
  if (!Number.isInteger(number) || (number as number) < 0) throw wrongType(name, 'unsigned-integer', verb);
  return number as number;
}

function optionalUnsigned(json: JsonObject, name: string): number {
  return json[name] === undefined ? 0 : unsignedMember(json[name], name);
}

function arrayMember(value: unknown, name: string): readonly unknown[] {
  if (!Array.isArray(value)) throw wrongType(name, 'array');
  return value;
}

function objectMember(value: unknown, name: string): JsonObject {
  if (!isJsonObject(value)) throw wrongType(name, 'object');
  return value;
}

/** A response on the HTTP wire: JSON text, then the binary tensors in order. */
export interface HttpInferResponse {
  readonly json: string;
  /** Empty when every output travels as JSON. */
  readonly binary: readonly Uint8Array[];
  readonly binaryBytes: number;
}

/** Names of outputs that were written to shared memory: they are announced without data, as Triton does. */
export type SharedMemoryOutputs = ReadonlySet<string>;

/**
 * Encodes one response.
 * @param isBinary whether an output travels as binary data
 * @throws INTERNAL when an FP16 or BF16 output was asked for as JSON
 */
export function encodeInferResponse(
  response: InferenceResponse,
  isBinary: (outputName: string) => boolean,
  sharedMemory?: SharedMemoryOutputs,
): HttpInferResponse {
  const binary: Uint8Array[] = [];
  let binaryBytes = 0;
  let json = response.id === '' ? '{' : `{"id":${JSON.stringify(response.id)},`;
  json += `"model_name":${JSON.stringify(response.modelName)},"model_version":"${response.modelVersion}"`;
  const parameters = encodeParameters(response.parameters);
  if (parameters !== '{}') json += `,"parameters":${parameters}`;
  json += ',"outputs":[';
  let separator = '';
  for (const output of response.outputs) {
    json += `${separator}{"name":${JSON.stringify(output.name)},"datatype":"${output.datatype}","shape":[${output.shape.join(',')}]`;
    separator = ',';
    if (sharedMemory?.has(output.name)) {
      json += '}';
    } else if (isBinary(output.name)) {
      json += `,"parameters":{"binary_data_size":${output.data.length}}}`;
      binary.push(output.data);
      binaryBytes += output.data.length;
    } else {
      json += `,"data":${outputJson(output.name, output.datatype, output.data)}}`;
    }
  }
  return { json: `${json}]}`, binary, binaryBytes };
}

function outputJson(name: string, datatype: DataType, data: Uint8Array): string {
  if (datatype === 'FP16' || datatype === 'BF16') {
    throw invalidArgument(
      `sending ${datatype} data via JSON is not supported. Please use the binary data format for output ${name}`,
    );
  }
  return tensorToJson(data, datatype);
}

export function encodeParameters(parameters: Parameters): string {
  const members = Object.entries(parameters).map(
    ([name, value]) => `${JSON.stringify(name)}:${typeof value === 'bigint' ? String(value) : JSON.stringify(value)}`,
  );
  return `{${members.join(',')}}`;
}

/** A Buffer over the same memory. */
export function bufferOf(bytes: Uint8Array): Buffer {
  return Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
