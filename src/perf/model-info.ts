import { ClientError, type KserveClient, type TensorMetadata } from '../client/index.ts';
import type { ModelConfig } from '../protocol/index.ts';
import { isDataType, type DataType } from '../tensor/index.ts';
import { PerfError } from './perf-error.ts';

export interface ModelInput {
  readonly name: string;
  readonly datatype: DataType;
  /** Without the batch dimension. */
  readonly dims: readonly number[];
  readonly optional: boolean;
}

/** What has to be known of a model to load it. */
export interface ModelInfo {
  readonly name: string;
  readonly version: string;
  readonly maxBatchSize: number;
  readonly inputs: readonly ModelInput[];
  readonly outputs: readonly TensorMetadata[];
  readonly scheduler: 'none' | 'dynamic' | 'sequence' | 'ensemble';
  readonly decoupled: boolean;
  readonly responseCache: boolean;
  /** The models of an ensemble's steps, of their steps, and so on. */
  readonly composing: readonly { readonly name: string; readonly version: string }[];
}

/**
 * Asks the server about a model.
 * @param asked models that it is known to ask
 */
export async function readModel(
  client: KserveClient,
  name: string,
  version: string,
  asked: ModelInfo['composing'],
): Promise<ModelInfo> {
  const metadata = await client.modelMetadata(name, version).catch((error: unknown) => {
    throw new PerfError(`failed to get model metadata: ${messageOf(error)}`);
  });
  const config = await client.modelConfig(name, version).catch((error: unknown) => {
    throw new PerfError(`failed to get model config: ${messageOf(error)}`);
  });
  const { maxBatchSize } = config;
  const inputs = metadata.inputs.map((input): ModelInput => {
    const { datatype } = input;
    if (!isDataType(datatype))
      throw new PerfError(`input '${input.name}' of model '${name}' has the unknown type ${datatype}`);
    const dims = maxBatchSize > 0 ? input.shape.slice(1) : input.shape;
    const optional = config.input.find((each) => each.name === input.name)?.optional ?? false;
    return { name: input.name, datatype, dims, optional };
  });
  return {
    name,
    version,
    maxBatchSize,
    inputs,
    outputs: metadata.outputs,
    scheduler: schedulerOf(config),
    decoupled: config.modelTransactionPolicy?.decoupled ?? false,
    responseCache: config.responseCache?.enable ?? false,
    composing: [...(await composingModels(client, config, new Set([name]))), ...asked],
  };
}

function schedulerOf({ schedulingChoice }: ModelConfig): ModelInfo['scheduler'] {
  switch (schedulingChoice.case) {
    case 'dynamicBatching':
      return 'dynamic';
    case 'sequenceBatching':
      return 'sequence';
    case 'ensembleScheduling':
      return 'ensemble';
    default:
      return 'none';
  }
}

async function composingModels(
  client: KserveClient,
  { schedulingChoice }: ModelConfig,
  seen: Set<string>,
): Promise<ModelInfo['composing']> {
  if (schedulingChoice.case !== 'ensembleScheduling') return [];
  const found: { name: string; version: string }[] = [];
  for (const { modelName, modelVersion } of schedulingChoice.value.step) {
    if (seen.has(modelName)) continue;
    seen.add(modelName);
    const version = modelVersion > 0n ? String(modelVersion) : '';
    found.push({ name: modelName, version });
    found.push(...(await composingModels(client, await client.modelConfig(modelName, version), seen)));
  }
  return found;
}

function messageOf(error: unknown): string {
  if (!(error instanceof ClientError)) return String(error);
  return error.failure === 'protocol' ? `${error.message} (is this a KServe v2 server?)` : error.message;
}
