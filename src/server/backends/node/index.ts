import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { create } from '@bufbuild/protobuf';
import { internalError, invalidArgument, toServerError } from '../../../core/index.ts';
import {
  configDataType,
  configDataTypeName,
  type ModelConfig,
  ModelDynamicBatchingSchema,
  ModelInputSchema,
  ModelOutputSchema,
  wireDataType,
} from '../../../protocol/index.ts';
import type { Backend, BackendModel, ModelContext } from '../contract.ts';
import { secondsSetting } from '../settings.ts';
import { createSupervisedModel } from '../supervised-model.ts';
import { NodeInstance } from './instance.ts';
export { LLAMA_FAMILIES } from './llama/metrics.ts';
import { llamaSource } from './llama/source.ts';
import { tfjsSource } from './tfjs/source.ts';
import type { DescribedTensor, Description } from './messages.ts';
import { ModelWorker, type ModelWorkerOptions, type Placement, PLACEMENTS } from './model-worker.ts';

const FILES = ['model.ts', 'model.js', 'model.mjs'] as const;

/** Seconds for importing, loading and unloading, each. */
const DEFAULT_TIMEOUT_SECONDS = 120;

/**
 * Runs models written in TypeScript or JavaScript (`model.ts`, `model.js`), each instance in a worker thread of its
 * own; with the parameter `placement: "inline"`, for models that take microseconds, on the server's main thread.
 */
export function createNodeBackend(): Backend {
  return createScriptBackend('node', (context) => ({ file: modelFile(context), parameters: {} }));
}

/** Runs GGUF models (`model.gguf`) with `node-llama-cpp`, each instance in a worker thread of its own. */
export function createLlamaBackend(): Backend {
  return createScriptBackend('llama', llamaSource);
}

/** Runs TensorFlow.js graph models (`model.json`), each instance in a worker thread of its own. */
export function createTfjsBackend(): Backend {
  return createScriptBackend('tfjs', tfjsSource);
}

/** The module that serves a model, and parameters for it besides those of the configuration. */
interface ScriptSource {
  readonly file: string;
  readonly parameters: Readonly<Record<string, string>>;
}

function createScriptBackend(name: string, source: (context: ModelContext) => ScriptSource): Backend {
  return {
    name,
    asksModels: true,
    loadModel: async (context) => loadModel(context, source(context)),
    async [Symbol.asyncDispose]() {},
  };
}

async function loadModel(context: ModelContext, { file, parameters }: ScriptSource): Promise<BackendModel> {
  const { config, logger, server } = context;
  const configured = Object.entries(config.parameters).map(([name, { stringValue }]) => [name, stringValue]);
  const options: ModelWorkerOptions = {
    runner: {
      file,
      name: config.name,
      version: context.version,
      directory: context.versionPath,
      parameters: { ...Object.fromEntries(configured), ...parameters },
    },
    placement: placementOf(config),
    logger,
    server,
    timeoutMs: secondsSetting(context, 'load-timeout-seconds', DEFAULT_TIMEOUT_SECONDS) * 1000,
  };
  const first = await ModelWorker.start(options).catch((error: unknown) => {
    throw internalError(toServerError(error).message);
  });
  try {
    if (context.autoComplete) complete(config, first.description);
    check(config, first.description);
  } catch (error) {
    await first.worker.kill();
    throw error;
  }
  return createSupervisedModel(context, {
    first: first.worker,
    launch: async () => (await ModelWorker.start(options)).worker,
    prepare: (worker) => worker.load(),
    createInstance: (instance) => new NodeInstance(instance),
  });
}

function modelFile({ config, versionPath, version }: ModelContext): string {
  const wanted = config.defaultModelFilename;
  const names = wanted === '' || wanted === FILES[0] ? FILES : [wanted];
  const found = names.find((name) => existsSync(join(versionPath, name)));
  if (found !== undefined) return join(versionPath, found);
  throw invalidArgument(
    `model '${config.name}' version ${version} has no ${names.join(', ')} in its folder '${versionPath}'`,
  );
}

function placementOf(config: ModelConfig): Placement {
  const text = config.parameters['placement']?.stringValue ?? 'thread';
  const placement = PLACEMENTS.find((known) => known === text);
  if (placement) return placement;
  throw invalidArgument(
    `parameter 'placement' of model '${config.name}' must be one of ${PLACEMENTS.join(', ')}, got '${text}'`,
  );
}

/** Fills in what the configuration does not say and the definition does. */
function complete(config: ModelConfig, description: Description): void {
  const untouched = config.input.length === 0 && config.output.length === 0;
  if (untouched && config.maxBatchSize === 0) config.maxBatchSize = description.maxBatchSize;
  if (
    untouched &&
    description.dynamicBatching &&
    config.schedulingChoice.case === undefined &&
    config.maxBatchSize > 1
  ) {
    config.schedulingChoice = { case: 'dynamicBatching', value: create(ModelDynamicBatchingSchema) };
  }
  const init = ({ name, datatype, dims }: DescribedTensor): { name: string; dataType: number; dims: bigint[] } => ({
    name,
    dataType: configDataType(datatype),
    dims: dims.map(BigInt),
  });
  if (config.input.length === 0) {
    config.input = description.inputs.map((tensor) =>
      create(ModelInputSchema, { ...init(tensor), optional: tensor.optional }),
    );
  }
  if (config.output.length === 0) {
    config.output = description.outputs.map((tensor) => create(ModelOutputSchema, init(tensor)));
  }
  if (description.decoupled) {
    config.modelTransactionPolicy ??= { $typeName: 'inference.ModelTransactionPolicy', decoupled: true };
  }
}

/** @throws INVALID_ARG where configuration and definition contradict each other */
function check(config: ModelConfig, description: Description): void {
  for (const [kind, configured, described] of [
    ['input', config.input, description.inputs],
    ['output', config.output, description.outputs],
  ] as const) {
    for (const { name, dataType } of configured) {
      const known = described.find((tensor) => tensor.name === name);
      if (!known) {
        throw invalidArgument(
          `model '${config.name}' configures ${kind} '${name}', its definition has: ${described.map((tensor) => tensor.name).join(', ')}`,
        );
      }
      if (wireDataType(dataType) !== known.datatype) {
        throw invalidArgument(
          `model '${config.name}' configures another type for ${kind} '${name}' than its definition, which has ${configDataTypeName(configDataType(known.datatype))}`,
        );
      }
    }
  }
  const decoupled = config.modelTransactionPolicy?.decoupled ?? false;
  if (decoupled !== description.decoupled) {
    throw invalidArgument(
      `model '${config.name}': model_transaction_policy { decoupled: ${decoupled} } does not go with a definition that has ${description.decoupled ? "'stream'" : "no 'stream'"}`,
    );
  }
}
