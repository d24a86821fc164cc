import { invalidArgument, type ServerError, withRequestId } from '../../core/index.ts';
import type { InferenceRequest, InputTensor } from '../../protocol/index.ts';
import {
  ELEMENT_SIZE,
  elementCount,
  formatShape,
  type Shape,
  shapeMatches,
  type Tensor,
  walkBytes,
} from '../../tensor/index.ts';
import { describeExpected, reshaped, type TensorSpec } from './tensor-spec.ts';

/** The parts of a model that a request is checked against. */
export interface ModelInterface {
  readonly name: string;
  readonly maxBatchSize: number;
  readonly inputs: readonly TensorSpec[];
  readonly outputs: readonly TensorSpec[];
}

export interface CheckedRequest {
  /** In the order of the model's configuration, in the model's own shapes. */
  readonly inputs: readonly Tensor[];
  readonly batchSize: number;
  readonly outputs: ReadonlySet<string> | undefined;
  /** Set when shapes vary: requests of one batch must agree on it. */
  readonly batchKey: string | undefined;
}

const BATCH_NOTE =
  ' NOTE: Setting a non-zero max_batch_size in the model config requires a batch dimension to be prepended to each input shape. If you want to specify the full shape including the batch dim in your input dims config, try setting max_batch_size to zero. See the model configuration docs for more info on max_batch_size.';

/**
 * Checks names, types, shapes and sizes of a request.
 * @throws INVALID_ARG in Triton's words
 */
export function checkRequest(model: ModelInterface, request: InferenceRequest): CheckedRequest {
  const fail = (message: string): ServerError => invalidArgument(withRequestId(request.id, message));
  const byName = indexInputs(model, request, fail);
  const outputs = checkOutputs(model, request);
  const missing = model.inputs.filter((input) => !input.optional && !byName.has(input.name));
  if (missing.length > 0) throw fail(missingInputs(model, request, missing));

  const batching = model.maxBatchSize > 0;
  const batchSize = batching ? checkBatchSize(model, byName, fail) : 1;
  let variable = false;
  const inputs: Tensor[] = [];
  for (const spec of model.inputs) {
    const input = byName.get(spec.name);
    if (!input) {
      variable = true;
      continue;
    }
    if (input.datatype !== spec.datatype) {
      throw fail(
        `inference input '${spec.name}' data-type is '${input.datatype}', but model '${model.name}' expects '${spec.datatype}'`,
      );
    }
    const dims = batching ? input.shape.slice(1) : input.shape;
    if (!shapeMatches(spec.dims, dims) || input.shape.some((dim) => dim < 0)) {
      throw fail(
        `unexpected shape for input '${spec.name}' for model '${model.name}'. Expected ${describeExpected(spec, batching)}, got ${formatShape(input.shape)}.${batching ? BATCH_NOTE : ''}`,
      );
    }
    checkSize(model, input, fail);
    variable ||= !spec.fixed && !spec.ragged;
    inputs.push(spec.reshape ? { ...input, shape: modelShape(spec, spec.reshape, dims, batching, batchSize) } : input);
  }
  return {
    inputs,
    batchSize,
    outputs,
    batchKey: variable ? batchKey(inputs, model.inputs, batching) : undefined,
  };
}

function modelShape(spec: TensorSpec, reshape: Shape, dims: Shape, batching: boolean, batchSize: number): Shape {
  const shape = reshaped(dims, spec.dims, reshape);
  return batching ? [batchSize, ...shape] : shape;
}

function batchKey(inputs: readonly Tensor[], specs: readonly TensorSpec[], batching: boolean): string {
  return inputs
    .map(({ name, shape }) => {
      const ragged = specs.some((spec) => spec.name === name && spec.ragged);
      return ragged ? name : `${name}:${(batching ? shape.slice(1) : shape).join()}`;
    })
    .join('|');
}

type Fail = (message: string) => ServerError;

/** The rows of the request: the first dimension, which all inputs must share. */
function checkBatchSize(model: ModelInterface, inputs: ReadonlyMap<string, InputTensor>, fail: Fail): number {
  let batchSize: number | undefined;
  for (const { name } of model.inputs) {
    const input = inputs.get(name);
    if (!input) continue;
    const [rows] = input.shape;
    if (rows === undefined)
      throw fail(`input '${name}' has no shape but model requires batch dimension for '${model.name}'`);
    if (batchSize !== undefined && rows !== batchSize) {
      throw fail(`input '${name}' batch size does not match other inputs for '${model.name}'`);
    }
    batchSize = rows;
  }
  if (batchSize !== undefined && batchSize > model.maxBatchSize) {
    throw fail(`inference request batch-size must be <= ${model.maxBatchSize} for '${model.name}'`);
  }
  return batchSize ?? 1;
}

function indexInputs(model: ModelInterface, request: InferenceRequest, fail: Fail): ReadonlyMap<string, InputTensor> {
  const byName = new Map<string, InputTensor>();
  for (const input of request.inputs) {
    if (byName.has(input.name)) throw fail(`input '${input.name}' already exists in request`);
    if (!model.inputs.some((spec) => spec.name === input.name)) {
      throw invalidArgument(`unexpected inference input '${input.name}' for model '${model.name}'`);
    }
    byName.set(input.name, input);
  }
  return byName;
}

function checkOutputs(model: ModelInterface, request: InferenceRequest): ReadonlySet<string> | undefined {
  if (request.outputs.length === 0) return undefined;
  const names = new Set<string>();
  for (const output of request.outputs) {
    if (!model.outputs.some((spec) => spec.name === output.name)) {
      throw invalidArgument(`unexpected inference output '${output.name}' for model '${model.name}'`);
    }
    if (names.has(output.name)) {
      throw invalidArgument(withRequestId(request.id, `output '${output.name}' already exists in request`));
    }
    names.add(output.name);
  }
  return names;
}

function missingInputs(model: ModelInterface, request: InferenceRequest, missing: readonly TensorSpec[]): string {
  const list = (names: readonly string[]): string => `[${names.map((name) => `'${name}'`).join(',')}]`;
  const required = model.inputs.filter((input) => !input.optional).length;
  const expected = required === model.inputs.length ? `${required}` : `between ${required} and ${model.inputs.length}`;
  return `expected ${expected} inputs but got ${request.inputs.length} inputs for model '${model.name}'. Got input(s) ${list(
    request.inputs.map((input) => input.name),
  )}, but missing required input(s) ${list(missing.map((input) => input.name))}. Please provide all required input(s).`;
}

function checkSize(model: ModelInterface, input: InputTensor, fail: Fail): void {
  const elements = elementCount(input.shape);
  if (elements === undefined) {
    throw fail(
      `input '${input.name}' for model '${model.name}' has shape ${formatShape(input.shape)}, whose element count is out of range`,
    );
  }
  if (input.datatype === 'BYTES') {
    checkStrings(input, elements, fail);
    return;
  }
  const expected = elements * ELEMENT_SIZE[input.datatype];
  if (input.data.length !== expected) {
    throw fail(
      `input byte size mismatch for input '${input.name}' for model '${model.name}'. Expected ${expected}, got ${input.data.length}`,
    );
  }
}

function checkStrings(input: InputTensor, expected: number, fail: Fail): void {
  const walk = walkBytes(input.data);
  switch (walk.kind) {
    case 'ok':
      if (walk.elements !== expected) {
        throw fail(
          `unexpected number of string elements ${walk.elements} for inference input '${input.name}', expecting ${expected}`,
        );
      }
      return;
    case 'truncated-length':
      throw fail(
        `incomplete string length indicator for inference input '${input.name}', expecting 4 bytes after ${walk.element} complete element(s)`,
      );
    case 'truncated-element':
      throw fail(
        `incomplete string data for inference input '${input.name}', expecting string of length ${walk.length} after ${walk.element} complete element(s)`,
      );
    default:
      walk satisfies never;
  }
}
