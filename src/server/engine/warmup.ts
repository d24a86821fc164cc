import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { internalError, invalidArgument, type Logger, type ServerError } from '../../core/index.ts';
import { configDataTypeName, type ModelConfig, wireDataType } from '../../protocol/index.ts';
import { type DataType, ELEMENT_SIZE, elementCount, encodeStrings, type Tensor } from '../../tensor/index.ts';
import type { BackendInstance } from '../backends/contract.ts';
import { silentUnit } from '../backends/silent-unit.ts';

type Sample = ModelConfig['modelWarmup'][number];
type SampleInput = Sample['inputs'][string];

/** Random integers stay below this, so that they are valid token ids of any vocabulary. */
const RANDOM_INTEGERS = 128;

/**
 * Runs every `model_warmup` sample on every instance before the model becomes ready.
 * @param added the tensors that the model's scheduler adds to a request of so many rows: controls and states
 * @throws INVALID_ARG or INTERNAL naming the sample, when one cannot be made or fails
 */
export async function warmUp(
  config: ModelConfig,
  modelPath: string,
  instances: readonly BackendInstance[],
  logger: Logger,
  added: (rows: number) => readonly Tensor[],
): Promise<void> {
  for (const sample of config.modelWarmup) {
    const rows = config.maxBatchSize > 0 ? Math.max(1, sample.batchSize) : 1;
    const inputs = [...(await sampleInputs(config, sample, modelPath)), ...added(rows)];
    for (let round = 0; round < Math.max(1, sample.count); round++) {
      logger.verbose(1, `model '${config.name}' running warmup sample '${sample.name}'`);
      await Promise.all(instances.map((instance) => runOnce(instance, inputs, rows, sample.name, config.name)));
    }
  }
}

function runOnce(
  instance: BackendInstance,
  inputs: readonly Tensor[],
  rows: number,
  sample: string,
  model: string,
): Promise<void> {
  return new Promise((resolve, reject) => {
    let failure: ServerError | undefined;
    const unit = silentUnit({ inputs, batchSize: rows, outputs: undefined, fail: (error) => (failure = error) });
    instance.execute([unit], () => {
      if (failure)
        reject(internalError(`failed to run warmup sample '${sample}' of model '${model}': ${failure.message}`));
      else resolve();
    });
  });
}

async function sampleInputs(config: ModelConfig, sample: Sample, modelPath: string): Promise<readonly Tensor[]> {
  const inputs: Tensor[] = [];
  for (const spec of config.input) {
    const input = sample.inputs[spec.name];
    if (!input) {
      if (spec.optional) continue;
      throw invalidArgument(`warmup sample '${sample.name}' of model '${config.name}' has no input '${spec.name}'`);
    }
    inputs.push(await sampleTensor(config, sample, spec.name, input, modelPath));
  }
  return inputs;
}

async function sampleTensor(
  config: ModelConfig,
  sample: Sample,
  name: string,
  input: SampleInput,
  modelPath: string,
): Promise<Tensor> {
  const where = `input '${name}' of warmup sample '${sample.name}' of model '${config.name}'`;
  const datatype = wireDataType(input.dataType);
  if (datatype === undefined) throw invalidArgument(`${where} has data type ${configDataTypeName(input.dataType)}`);
  const dims = input.dims.map(Number);
  const perRow = elementCount(dims);
  if (perRow === undefined) throw invalidArgument(`${where} must have fixed dims, got [${dims.join(',')}]`);
  const rows = config.maxBatchSize > 0 ? Math.max(1, sample.batchSize) : 1;
  const shape = config.maxBatchSize > 0 ? [rows, ...dims] : dims;
  const row = await rowBytes(input, datatype, perRow, modelPath, where);
  const data = Buffer.concat(Array.from({ length: rows }, () => row));
  return { name, datatype, shape, data };
}

async function rowBytes(
  input: SampleInput,
  datatype: DataType,
  elements: number,
  modelPath: string,
  where: string,
): Promise<Uint8Array> {
  const source = input.inputDataType;
  switch (source.case) {
    case 'inputDataFile': {
      if (source.value.split(/[/\\]/).includes('..') || source.value.startsWith('/')) {
        throw invalidArgument(`${where}: file '${source.value}' must stay inside the model's 'warmup' folder`);
      }
      const data = await readFile(join(modelPath, 'warmup', source.value)).catch((error: unknown) => {
        throw internalError(`${where}: cannot read file '${source.value}': ${String(error)}`);
      });
      const expected = elements * ELEMENT_SIZE[datatype];
      if (datatype !== 'BYTES' && data.length !== expected) {
        throw invalidArgument(`${where}: file '${source.value}' has ${data.length} bytes, expected ${expected}`);
      }
      return data;
    }
    case 'randomData':
      return randomRow(datatype, elements);
    case 'zeroData':
    case undefined:
      return datatype === 'BYTES'
        ? encodeStrings(Array.from({ length: elements }, () => ''))
        : new Uint8Array(elements * ELEMENT_SIZE[datatype]);
    default:
      return source satisfies never;
  }
}

function randomRow(datatype: DataType, elements: number): Uint8Array {
  const integer = (): number => Math.floor(Math.random() * RANDOM_INTEGERS);
  if (datatype === 'BYTES') return encodeStrings(Array.from({ length: elements }, () => String(integer())));
  const size = ELEMENT_SIZE[datatype];
  const data = Buffer.alloc(elements * size);
  for (let index = 0; index < elements; index++) {
    if (datatype === 'FP32') data.writeFloatLE(Math.random(), index * size);
    else if (datatype === 'FP64') data.writeDoubleLE(Math.random(), index * size);
    else if (datatype === 'BOOL') data[index] = integer() & 1;
    else if (datatype !== 'FP16' && datatype !== 'BF16') data[index * size] = integer();
  }
  return data;
}
