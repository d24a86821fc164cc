import { internalError, invalidArgument, withRequestId } from '../core/index.ts';
import { type DataType, packJsonData, type Shape, type Tensor, tensorToJson } from '../tensor/index.ts';
import type { InferenceRequest, InferenceResponse, InputTensor, ParameterValue } from './inference.ts';
import { isJsonObject, type JsonObject } from './json-text.ts';
import { parameterValue } from './kserve-json.ts';

/** An input of the model as the generate extension needs to know it. */
export interface GenerateInput {
  readonly name: string;
  readonly datatype: DataType;
  /** With the batch dimension, as -1, where the model batches. */
  readonly shape: Shape;
}

/**
 * A body of the generate extension as a request: members named like an input become that input, `id` the request's id,
 * those of `parameters` are taken as if they stood outside, and everything else is a parameter
 * (https://github.com/triton-inference-server/server/blob/main/docs/protocol/extension_generate.md).
 * @throws INVALID_ARG or INTERNAL in Triton's words
 */
export function parseGenerateRequest(
  body: unknown,
  model: { readonly name: string; readonly version: string; readonly inputs: readonly GenerateInput[] },
): InferenceRequest {
  if (!isJsonObject(body)) throw internalError('attempt to get members for non-object');
  const id = idOf(body);
  const inputs: InputTensor[] = [];
  const parameters: Record<string, ParameterValue> = {};
  const take = (name: string, value: unknown): void => {
    const input = model.inputs.find((candidate) => candidate.name === name);
    if (!input) {
      parameters[name] = parameterValue(name, value);
      return;
    }
    if (inputs.some((other) => other.name === name)) {
      throw invalidArgument(withRequestId(id, `input '${name}' already exists in request`));
    }
    inputs.push(tensorOf(input, value));
  };
  for (const [name, value] of Object.entries(body)) {
    if (name === 'id') continue;
    if (name === 'parameters' && !model.inputs.some((input) => input.name === name)) takeNested(value, take);
    else take(name, value);
  }
  return {
    modelName: model.name,
    modelVersion: model.version,
    id,
    inputs,
    outputs: [],
    parameters,
    priority: 0,
    timeoutMicros: 0,
  };
}

function idOf({ id }: JsonObject): string {
  if (id === undefined) return '';
  if (typeof id === 'string') return id;
  throw internalError("Unable to parse 'id': attempt to access JSON non-string as string");
}

function takeNested(value: unknown, take: (name: string, value: unknown) => void): void {
  if (!isJsonObject(value)) {
    throw internalError("Expected JSON object for keyword: 'parameters': attempt to access JSON non-object as object");
  }
  for (const [name, inner] of Object.entries(value)) {
    try {
      take(name, inner);
    } catch (error) {
      const { message } = error as Error;
      throw invalidArgument(`Converting keyword: 'parameters': ${message}`);
    }
  }
}

/** One value or a list of values; the shape follows from the count where the model leaves it open. */
function tensorOf({ name, datatype, shape }: GenerateInput, value: unknown): InputTensor {
  const data: readonly unknown[] = Array.isArray(value) ? value : [value];
  const count = data.some((element) => Array.isArray(element)) ? data.flat(shape.length).length : data.length;
  const fixed = shape.reduce((product, dim) => (dim === -1 ? product : product * dim), 1);
  const open = shape.lastIndexOf(-1);
  if (fixed === 0 || count % fixed !== 0 || (open < 0 && count !== fixed)) {
    throw invalidArgument(`The schema can not convert input '${name}' to tensor with proper shape`);
  }
  const full = shape.map((dim, index) => (dim !== -1 ? dim : index === open ? count / fixed : 1));
  return { name, datatype, shape: full, data: packJsonData(data, datatype, count) };
}

/** A response as the generate extension shows it: a value for one element, a list for more, members in order of name. */
export function encodeGenerateResponse(response: InferenceResponse): string {
  const members = new Map<string, string>();
  if (response.id !== '') members.set('id', JSON.stringify(response.id));
  members.set('model_name', JSON.stringify(response.modelName));
  members.set('model_version', JSON.stringify(response.modelVersion));
  for (const [name, value] of Object.entries(response.parameters)) {
    members.set(name, typeof value === 'bigint' ? String(value) : JSON.stringify(value));
  }
  for (const output of response.outputs) members.set(output.name, valueOf(output));
  const sorted = [...members].toSorted(([a], [b]) => (a < b ? -1 : 1));
  return `{${sorted.map(([name, value]) => `${JSON.stringify(name)}:${value}`).join(',')}}`;
}

function valueOf({ name, datatype, data, shape }: Tensor): string {
  if (datatype === 'FP16' || datatype === 'BF16') {
    throw invalidArgument(`sending ${datatype} data via JSON is not supported (output ${name})`);
  }
  const list = tensorToJson(data, datatype);
  return shape.reduce((product, dim) => product * dim, 1) === 1 ? list.slice(1, -1) : list;
}
