import { existsSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { errorMessage } from '../core/index.ts';
import {
  type DataType,
  ELEMENT_SIZE,
  elementCount,
  encodeBytes,
  encodeStrings,
  isDataType,
  packJsonData,
} from '../tensor/index.ts';
import { type DataSet, type DataStep, shapeOf, type StepTensor } from './input-data.ts';
import type { ModelInfo, ModelInput } from './model-info.ts';
import { PerfError } from './perf-error.ts';

type Json = Readonly<Record<string, unknown>>;
type Shapes = ReadonlyMap<string, readonly number[]>;

/**
 * Reads inputs from JSON files, whose streams are put together, or from a folder with a file for each input.
 * (perf_analyzer's docs/input_data.md)
 */
export function readFileInputs(model: ModelInfo, paths: readonly string[], shapes: Shapes): DataSet {
  const streams: DataStep[][] = [];
  for (const path of paths) {
    if (!existsSync(path))
      throw new PerfError(`--input-data: there is no file or folder '${path}'; 'zero' and 'random' make inputs`);
    if (statSync(path).isDirectory()) streams.push([readFolder(model, path, shapes)]);
    else streams.push(...readJson(model, path, shapes));
  }
  return { streams, given: true };
}

function readFolder(model: ModelInfo, folder: string, shapes: Shapes): DataStep {
  const inputs = model.inputs.flatMap((input): StepTensor[] => {
    const file = join(folder, input.name);
    if (!existsSync(file)) {
      if (input.optional) return [];
      throw new PerfError(`--input-data: folder '${folder}' has no file '${input.name}' for the input of that name`);
    }
    const shape = shapeOf(input, shapes);
    const count = elementCount(shape) ?? 0;
    const { name, datatype } = input;
    if (datatype === 'BYTES') {
      const lines = readFileSync(file, 'utf8').replace(/\n$/, '').split('\n');
      if (lines.length !== count)
        throw new PerfError(`'${file}' has ${lines.length} lines: input '${name}' takes ${count}`);
      return [{ name, datatype, shape, data: encodeStrings(lines) }];
    }
    const data = readFileSync(file);
    const bytes = count * ELEMENT_SIZE[datatype];
    if (data.length !== bytes)
      throw new PerfError(`'${file}' has ${data.length} bytes: input '${name}' takes ${bytes}`);
    return [{ name, datatype, shape, data }];
  });
  return { inputs, expected: new Map() };
}

function readJson(model: ModelInfo, path: string, shapes: Shapes): DataStep[][] {
  let json: unknown;
  try {
    json = JSON.parse(readFileSync(path, 'utf8'));
  } catch (error) {
    throw new PerfError(`--input-data: '${path}' is no JSON: ${errorMessage(error)}`);
  }
  const { data, validation_data: validation } = json as { readonly data?: unknown; readonly validation_data?: unknown };
  if (!Array.isArray(data) || data.length === 0) {
    throw new PerfError(`--input-data: '${path}' has no 'data': a list of requests, or a list of streams of them`);
  }
  const streams = asStreams(data);
  const expected = Array.isArray(validation) ? asStreams(validation) : undefined;
  if (expected && expected.length !== streams.length) {
    throw new PerfError(`'${path}' has ${streams.length} streams of data, but ${expected.length} of validation_data`);
  }
  return streams.map((steps, stream) =>
    steps.map((step, index) => {
      const where = `'${path}', stream ${stream}, step ${index}`;
      return readStep(model, step, expected?.[stream]?.[index], shapes, where);
    }),
  );
}

/** A list of requests is one stream. */
function asStreams(list: readonly unknown[]): readonly (readonly Json[])[] {
  return (Array.isArray(list[0]) ? list : [list]) as readonly (readonly Json[])[];
}

function readStep(model: ModelInfo, step: Json, expected: Json | undefined, shapes: Shapes, where: string): DataStep {
  if (typeof step !== 'object' || step === null)
    throw new PerfError(`${where}: a request is an object of inputs by name`);
  for (const name of Object.keys(step)) {
    if (model.inputs.every((input) => input.name !== name)) {
      throw new PerfError(
        `${where}: model '${model.name}' has no input '${name}', it has ${model.inputs.map((input) => input.name).join(', ')}`,
      );
    }
  }
  const inputs = model.inputs.flatMap((input): StepTensor[] => {
    const value = step[input.name];
    if (value !== undefined) return [readTensor(input, value, shapes, `${where}, input '${input.name}'`)];
    if (input.optional) return [];
    throw new PerfError(`${where}: there is no value for input '${input.name}'`);
  });
  const outputs = Object.entries(expected ?? {}).map(([name, value]): readonly [string, Uint8Array] => {
    const output = model.outputs.find((each) => each.name === name);
    const datatype = output?.datatype ?? '';
    if (!output || !isDataType(datatype))
      throw new PerfError(`${where}: model '${model.name}' has no output '${name}' to validate`);
    const dims = model.maxBatchSize > 0 ? output.shape.slice(1) : output.shape;
    const described = { name, datatype, dims, optional: false };
    return [name, readTensor(described, value, new Map(), `${where}, output '${name}'`).data];
  });
  return { inputs, expected: new Map(outputs) };
}

/** A value: a number or string, a (nested) list, `{ content, shape }`, or `{ b64 }`. */
function readTensor(input: ModelInput, value: unknown, shapes: Shapes, where: string): StepTensor {
  const { name, datatype } = input;
  const object = typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Json) : undefined;
  const ownShape = Array.isArray(object?.['shape']) ? object['shape'].map(Number) : undefined;
  if (typeof object?.['b64'] === 'string') {
    const bytes = Buffer.from(object['b64'], 'base64');
    const data = datatype === 'BYTES' ? encodeBytes([bytes]) : bytes;
    const shape =
      ownShape ?? inferShape(input, shapes, datatype === 'BYTES' ? 1 : data.length / ELEMENT_SIZE[datatype], where);
    checkBytes(datatype, shape, data, where);
    return { name, datatype, shape, data };
  }
  const content = object ? object['content'] : value;
  const list = (Array.isArray(content) ? content : [content]).flat(Number.POSITIVE_INFINITY) as unknown[];
  const shape = ownShape ?? inferShape(input, shapes, list.length, where);
  const count = elementCount(shape) ?? 0;
  if (count !== list.length)
    throw new PerfError(`${where}: ${list.length} elements do not make shape [${shape.join(',')}], which has ${count}`);
  try {
    return { name, datatype, shape, data: packJsonData(list, datatype, count) };
  } catch (error) {
    throw new PerfError(`${where}: ${errorMessage(error)}`);
  }
}

/** The input's shape, with its one open dimension filled in from the number of elements. */
function inferShape(input: ModelInput, shapes: Shapes, count: number, where: string): readonly number[] {
  const given = shapes.get(input.name) ?? input.dims;
  const open = given.filter((dim) => dim < 0).length;
  if (open === 0) return given;
  const known = given.reduce((product, dim) => (dim < 0 ? product : product * dim), 1);
  if (open === 1 && count % known === 0) return given.map((dim) => (dim < 0 ? count / known : dim));
  throw new PerfError(
    `${where}: the shape [${given.join(',')}] is open; write { "content": [...], "shape": [...] } or give --shape`,
  );
}

function checkBytes(datatype: DataType, shape: readonly number[], data: Uint8Array, where: string): void {
  if (datatype === 'BYTES') return;
  const bytes = (elementCount(shape) ?? 0) * ELEMENT_SIZE[datatype];
  if (bytes !== data.length)
    throw new PerfError(`${where}: ${data.length} bytes are not the ${bytes} of shape [${shape.join(',')}]`);
}
