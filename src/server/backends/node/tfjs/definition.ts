/** Serves a TensorFlow.js graph model; see `docs/guides/backends.md`. Loaded by the Node backend's runner. */
import { readFileSync } from 'node:fs';
import { dirname, join, resolve, sep } from 'node:path';
import { invalidArgument } from '../../../../core/index.ts';
import { isJsonObject, type JsonObject } from '../../../../protocol/index.ts';
import type { DataType, ModelDefinition, ModelOutput, ModelRequest, TensorDefinition } from '../model-api.ts';
import type { TfConverter, TfCore, TfGraphModel, TfTensor, TfTensorInfo, TfType, TfValues } from './native.ts';

const TYPES: Readonly<Record<TfType, DataType>> = { float32: 'FP32', int32: 'INT32', bool: 'BOOL', string: 'BYTES' };

/** `max_batch_size` of a model whose tensors all have a first dimension of any size, where none is configured. */
const DEFAULT_MAX_BATCH_SIZE = 4;

/** The model, whose tensors its file tells. */
export default async function createDefinition(parameters: Readonly<Record<string, string>>): Promise<ModelDefinition> {
  const file = parameters['model_file'] ?? '';
  const core = (await import(parameters['tfjs_core'] ?? '')) as TfCore;
  await import(parameters['tfjs_kernels'] ?? '');
  const converter = (await import(parameters['tfjs_converter'] ?? '')) as TfConverter;
  await core.setBackend('cpu');
  await core.ready();
  const json = readModel(file);
  const model = await converter.loadGraphModel({ load: async () => artifacts(file, json) });
  const shapes = signatureShapes(json);
  const types = nodeTypes(json);
  const typeOf = ({ name, dtype }: TfTensorInfo): DataType | undefined => TYPES[dtype as TfType] ?? types.get(name);
  const shapeOf = ({ name, shape }: TfTensorInfo): readonly number[] | undefined => shape ?? shapes.get(name);
  const known = [...model.inputs, ...model.outputs].flatMap((tensor) => [shapeOf(tensor) ?? []]);
  const batches = known.every((shape) => shape.length === 0 || shape[0] === -1);
  const configured = Number(parameters['max_batch_size'] ?? 0);
  const maxBatchSize = configured > 0 ? configured : batches ? DEFAULT_MAX_BATCH_SIZE : 0;
  const batching = maxBatchSize > 0;
  const outputs = model.outputs.map(({ name }) => name);
  return {
    inputs: described(model.inputs, typeOf, shapeOf, batching),
    outputs: described(model.outputs, typeOf, shapeOf, batching),
    maxBatchSize,
    unload: () => model.dispose(),
    runBatch: async (requests) => {
      if (!batching || requests.length === 1) {
        return Promise.all(
          requests.map((request) => execute(core, model, outputs, [request]).then(([one = {}]) => one)),
        );
      }
      return execute(core, model, outputs, requests);
    },
  };
}

function readModel(file: string): JsonObject {
  const json: unknown = JSON.parse(readFileSync(file, 'utf8'));
  if (!isJsonObject(json) || !isJsonObject(json['modelTopology'])) {
    throw invalidArgument(`${file} is no TensorFlow.js graph model: it has no 'modelTopology'`);
  }
  return json;
}

/** Shapes of outputs, which only the signature tells. */
function signatureShapes(json: JsonObject): ReadonlyMap<string, readonly number[]> {
  const signature = (json['signature'] ?? json['userDefinedMetadata']) as
    | { readonly outputs?: Readonly<Record<string, SignatureTensor>> }
    | undefined;
  return new Map(
    Object.entries(signature?.outputs ?? {}).flatMap(([key, { name, tensorShape }]) => {
      if (!tensorShape) return [];
      const shape = (tensorShape.dim ?? []).map(({ size }) => Number(size));
      return [[key, shape] as const, [(name ?? key).replace(/:0$/, ''), shape] as const];
    }),
  );
}

const NODE_TYPES: Readonly<Record<string, DataType>> = {
  DT_FLOAT: 'FP32',
  DT_INT32: 'INT32',
  DT_INT64: 'INT32',
  DT_BOOL: 'BOOL',
  DT_STRING: 'BYTES',
};

/** Types of the nodes that pass on what they get: the library leaves those of outputs open. */
function nodeTypes(json: JsonObject): ReadonlyMap<string, DataType> {
  const topology = json['modelTopology'] as {
    readonly node?: readonly {
      readonly name: string;
      readonly attr?: Readonly<Record<string, { readonly type?: string } | undefined>>;
    }[];
  };
  return new Map(
    (topology.node ?? []).flatMap(({ name, attr }) => {
      const type = NODE_TYPES[attr?.['T']?.type ?? attr?.['dtype']?.type ?? ''];
      return type === undefined ? [] : [[name, type] as const];
    }),
  );
}

interface SignatureTensor {
  readonly name?: string;
  readonly tensorShape?: { readonly dim?: readonly { readonly size: string | number }[] };
}

/** Topology and weights, as the converter wants them. */
function artifacts(file: string, json: JsonObject): object {
  const folder = dirname(file);
  const manifest = (json['weightsManifest'] ?? []) as readonly {
    readonly paths: readonly string[];
    readonly weights: readonly object[];
  }[];
  const shards = manifest.flatMap(({ paths }) =>
    paths.map((path) => {
      const shard = resolve(join(folder, path));
      if (!shard.startsWith(folder + sep)) throw invalidArgument(`weights '${path}' lie outside the model's folder`);
      return readFileSync(shard);
    }),
  );
  return {
    ...json,
    weightSpecs: manifest.flatMap(({ weights }) => weights),
    weightData: Uint8Array.from(Buffer.concat(shards)).buffer,
  };
}

/** An output whose shape the file does not tell is taken for a list of any length: a configuration says it better. */
function described(
  tensors: readonly TfTensorInfo[],
  typeOf: (tensor: TfTensorInfo) => DataType | undefined,
  shapeOf: (tensor: TfTensorInfo) => readonly number[] | undefined,
  batching: boolean,
): Readonly<Record<string, TensorDefinition>> {
  return Object.fromEntries(
    tensors.map((tensor) => {
      const { name, dtype } = tensor;
      const type = typeOf(tensor);
      if (type === undefined) throw invalidArgument(`tensor '${name}' has type ${dtype}, which is not served`);
      const shape = shapeOf(tensor);
      const dims = (batching ? shape?.slice(1) : shape) ?? [-1];
      return [name, { type, dims: dims.length === 0 ? [1] : dims }];
    }),
  );
}

/** Runs requests as one batch: their rows one after the other. */
async function execute(
  core: TfCore,
  model: TfGraphModel,
  outputs: readonly string[],
  requests: readonly ModelRequest[],
): Promise<readonly Readonly<Record<string, ModelOutput>>[]> {
  const inputs: Record<string, TfTensor> = {};
  const made: TfTensor[] = [];
  try {
    for (const { name, dtype } of model.inputs) {
      const parts = requests.flatMap((request) => request.inputs[name] ?? []);
      const [, ...rest] = parts[0]?.shape ?? [];
      const rows = parts.reduce((sum, { shape }) => sum + (shape[0] ?? 1), 0);
      const values = parts.length === 1 ? parts[0]?.values : parts.flatMap((part) => [...part.values]);
      const shape = parts.length === 1 ? (parts[0]?.shape ?? []) : [rows, ...rest];
      const tensor = core.tensor(tfValues(dtype, values ?? []), shape, dtype as TfType);
      made.push(tensor);
      inputs[name] = tensor;
    }
    const result = await model.executeAsync(inputs, outputs);
    const results = Array.isArray(result) ? result : [result];
    made.push(...results);
    return await split(results, outputs, requests);
  } finally {
    for (const tensor of new Set(made)) tensor.dispose();
  }
}

function tfValues(dtype: string, values: Iterable<unknown>): TfValues {
  if (dtype === 'string') return [...values].map(String);
  const numbers = [...values].map(Number);
  if (dtype === 'float32') return Float32Array.from(numbers);
  return dtype === 'bool' ? Uint8Array.from(numbers) : Int32Array.from(numbers);
}

async function split(
  results: readonly TfTensor[],
  outputs: readonly string[],
  requests: readonly ModelRequest[],
): Promise<readonly Readonly<Record<string, ModelOutput>>[]> {
  const whole = await Promise.all(results.map((tensor) => tensor.data()));
  const answers: Record<string, ModelOutput>[] = requests.map(() => ({}));
  results.forEach((tensor, index) => {
    const name = outputs[index] ?? '';
    const values = whole[index] ?? [];
    const [, ...rest] = tensor.shape;
    const width = rest.reduce((product, dim) => product * dim, 1);
    let row = 0;
    requests.forEach((request, position) => {
      const [first] = Object.values(request.inputs);
      const rows = requests.length === 1 ? (tensor.shape[0] ?? 1) : (first?.shape[0] ?? 1);
      const answer = answers[position];
      if (answer) {
        answer[name] = {
          shape: requests.length === 1 ? tensor.shape : [rows, ...rest],
          values: values.slice(row * width, (row + rows) * width),
        };
      }
      row += rows;
    });
  });
  return answers;
}
