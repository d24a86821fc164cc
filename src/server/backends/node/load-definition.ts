import { statSync } from 'node:fs';
import { pathToFileURL } from 'node:url';
import { invalidArgument } from '../../../core/index.ts';
import { isJsonObject } from '../../../protocol/index.ts';
import { isDataType } from '../../../tensor/index.ts';
import { providePackageImports } from '../package-imports.ts';
import type { DescribedTensor, Description, RunnerOptions } from './messages.ts';
import type { ModelDefinition } from './model-api.ts';

const WAYS = ['run', 'runBatch', 'stream'] as const;

/**
 * Imports a model: its definition, or a function that makes it from the configuration's parameters.
 * @throws INVALID_ARG when it does not export a definition; and whatever the module throws
 */
export async function loadDefinition(options: RunnerOptions): Promise<ModelDefinition> {
  const { file } = options;
  providePackageImports();
  // A file that has changed is another module.
  const module: unknown = await import(`${pathToFileURL(file).href}?v=${statSync(file).mtimeMs}`);
  const exported = isJsonObject(module) ? module['default'] : undefined;
  const definition: unknown = typeof exported === 'function' ? await exported(options.parameters) : exported;
  if (!isJsonObject(definition)) {
    throw invalidArgument(`${file} must export its definition: export default defineModel({ ... })`);
  }
  const ways = WAYS.filter((way) => typeof definition[way] === 'function');
  if (ways.length !== 1) {
    throw invalidArgument(
      `${file} must define exactly one of ${WAYS.join(', ')}, it defines ${ways.join(' and ') || 'none'}`,
    );
  }
  return definition as unknown as ModelDefinition;
}

/** @throws INVALID_ARG naming the tensor that is wrong */
export function describe(definition: ModelDefinition, file: string): Description {
  const { maxBatchSize = 0 } = definition;
  if (!Number.isInteger(maxBatchSize) || maxBatchSize < 0) {
    throw invalidArgument(`${file}: maxBatchSize must be an integer >= 0, got ${maxBatchSize}`);
  }
  return {
    inputs: describeTensors(definition.inputs, 'inputs', file),
    outputs: describeTensors(definition.outputs, 'outputs', file),
    maxBatchSize,
    dynamicBatching: definition.dynamicBatching ?? maxBatchSize > 1,
    decoupled: definition.stream !== undefined,
  };
}

function describeTensors(tensors: unknown, kind: string, file: string): readonly DescribedTensor[] {
  if (!isJsonObject(tensors)) throw invalidArgument(`${file}: ${kind} must be an object of tensors by name`);
  return Object.entries(tensors).map(([name, tensor]) => {
    const where = `${file}: ${kind}.${name}`;
    if (!isJsonObject(tensor)) throw invalidArgument(`${where} must be { type, dims }`);
    const { type, dims, optional = false } = tensor;
    if (typeof type !== 'string' || !isDataType(type)) {
      throw invalidArgument(`${where}.type must be a data type such as FP32 or BYTES, got '${String(type)}'`);
    }
    if (!Array.isArray(dims) || !dims.every((dim) => Number.isInteger(dim) && dim >= -1)) {
      throw invalidArgument(`${where}.dims must be integers >= -1, got ${JSON.stringify(dims)}`);
    }
    return { name, datatype: type, dims, optional: optional === true };
  });
}
