import { join } from 'node:path';
import { existsSync, statSync } from 'node:fs';
import { internalError, invalidArgument, type ServerError, toServerError } from '../../../core/index.ts';
import { ConfigDataType, type ModelConfig } from '../../../protocol/index.ts';
import { modelFilenameFor } from '../../../repository/index.ts';
import type { Backend, BackendModel, InstanceSpec, ModelContext } from '../contract.ts';
import { addedTensors, checkConfig, completeConfig, DEFAULT_MAX_BATCH_SIZE } from './complete-config.ts';
import { type InstancePlan, OnnxInstance } from './instance.ts';
import type { OnnxModelInfo, SessionOptions } from './messages.ts';
import { sessionOptionsOf } from './session-options.ts';
import type { SessionThread } from './session-thread.ts';
import { DEFAULT_POOL_LIMITS, type PoolLimits, ThreadPool } from './thread-pool.ts';

export { DEFAULT_POOL_LIMITS, type PoolLimits } from './thread-pool.ts';

/** Runs ONNX models with `onnxruntime-node`, every session on a worker thread. */
export function createOnnxruntimeBackend(limits: PoolLimits = DEFAULT_POOL_LIMITS): Backend {
  const pool = new ThreadPool(limits);
  return {
    name: 'onnxruntime',
    loadModel: (context) => loadModel(context, pool),
    [Symbol.asyncDispose]: () => pool[Symbol.asyncDispose](),
  };
}

/** A session that was opened to look at the model, for the first instance to take over. */
interface OpenSession {
  readonly home: { readonly thread: SessionThread; readonly kind: 'dedicated' | 'shared' };
  readonly session: number;
  readonly info: OnnxModelInfo;
}

async function loadModel(context: ModelContext, pool: ThreadPool): Promise<BackendModel> {
  const { config } = context;
  const instances = Math.max(1, totalInstances(config));
  const options = sessionOptionsOf(config, instances, context.backendConfig);
  let spare: OpenSession | undefined = await open(pool, modelFile(context, undefined), options, config.name);
  const dispose = async (): Promise<void> => {
    if (!spare) return;
    const { home, session } = spare;
    spare = undefined;
    await home.thread.unload(session);
    await pool.release(home);
  };
  const info = spare.info;
  try {
    if (context.autoComplete) completeConfig(config, info, defaultMaxBatchSize(context));
    checkConfig(config, info);
  } catch (error) {
    await dispose();
    throw error;
  }
  return {
    async createInstance(spec) {
      const path = modelFile(context, spec);
      const reuse = spec.kind === 'cpu' ? spare : undefined;
      if (reuse) spare = undefined;
      const { home, session } = reuse ?? (await open(pool, path, optionsFor(spec, options), config.name));
      const plan = planOf(spec.name, path, optionsFor(spec, options), config, info);
      const instance = new OnnxInstance(plan, home.thread, session, pool);
      pool.settle(instance, home);
      return instance;
    },
    [Symbol.asyncDispose]: dispose,
  };
}

async function open(pool: ThreadPool, path: string, options: SessionOptions, model: string): Promise<OpenSession> {
  const home = pool.acquire();
  try {
    const { session, info } = await home.thread.load(path, options);
    return { home, session, info };
  } catch (error) {
    await pool.release(home);
    throw loadError(error, model);
  }
}

/** ONNX Runtime's words, with a plain sentence in front where they are hard to understand. */
function loadError(error: unknown, model: string): ServerError {
  const { message } = toServerError(error);
  return internalError(`onnxruntime cannot load model '${model}': ${message.trim()}`);
}

function totalInstances(config: ModelConfig): number {
  return config.instanceGroup.reduce((sum, group) => sum + group.count * Math.max(1, group.gpus.length), 0);
}

function defaultMaxBatchSize(context: ModelContext): number {
  const text = context.backendConfig.get('default-max-batch-size');
  if (text === undefined) return DEFAULT_MAX_BATCH_SIZE;
  if (!/^\d+$/.test(text))
    throw invalidArgument(`--backend-config default-max-batch-size must be an integer >= 0, got '${text}'`);
  return Number(text);
}

function modelFile(context: ModelContext, spec: InstanceSpec | undefined): string {
  const { config } = context;
  const device = spec?.kind === 'gpu' ? context.devices.gpus.find((gpu) => gpu.id === spec.deviceId) : undefined;
  const filename = modelFilenameFor(
    config.ccModelFilenames,
    config.defaultModelFilename,
    device ?? context.devices.gpus[0],
  );
  const path = join(context.versionPath, filename);
  if (!existsSync(path)) {
    throw internalError(
      `failed to stat file ${path}: model file '${filename}' of model '${config.name}' version ${context.version} does not exist`,
    );
  }
  // A model with external data may be a folder of the file's name.
  return statSync(path).isDirectory() ? join(path, filename) : path;
}

function optionsFor(spec: InstanceSpec, options: SessionOptions): SessionOptions {
  return spec.kind === 'gpu' ? { ...options, executionProviders: ['cuda', 'cpu'] } : options;
}

function planOf(
  name: string,
  path: string,
  options: SessionOptions,
  config: ModelConfig,
  info: OnnxModelInfo,
): InstancePlan {
  const byName = new Map(info.outputs.map((output) => [output.name, output]));
  const added = addedTensors(config);
  const outputNames = [...config.output, ...added.filter((tensor) => tensor.kind === 'output')];
  const outputs = outputNames.flatMap((output) => byName.get(output.name) ?? []);
  const plain = config.batchInput.length === 0 && config.batchOutput.length === 0;
  const fixedShapes =
    plain &&
    added.every((tensor) => tensor.dims.every((dim) => dim >= 0n) && tensor.dataType !== ConfigDataType.TYPE_STRING) &&
    config.input.every((input) => {
      const dims = input.reshape ? input.reshape.shape : input.dims;
      return (
        !input.optional &&
        !input.allowRaggedBatch &&
        dims.every((dim) => dim >= 0n) &&
        info.inputs.find((i) => i.name === input.name)?.datatype !== 'BYTES'
      );
    });
  const scalars = new Set(info.inputs.filter((input) => input.shape.length === 0).map((input) => input.name));
  const mayInline = fixedShapes && mayRunInline(config, path);
  return {
    name,
    path,
    options,
    outputs,
    batching: config.maxBatchSize > 0,
    scalars,
    ragged: raggedPlan(config),
    fixedShapes,
    mayInline,
  };
}

function raggedPlan(config: ModelConfig): InstancePlan['ragged'] {
  const inputs = new Set(config.input.filter((input) => input.allowRaggedBatch).map((input) => input.name));
  if (inputs.size === 0 && config.batchInput.length === 0 && config.batchOutput.length === 0) return undefined;
  const scatter = new Map(
    config.batchOutput.flatMap(({ targetName, sourceInput }) =>
      targetName.map((target) => [target, sourceInput[0] ?? ''] as const),
    ),
  );
  return { inputs, batchInputs: config.batchInput, scatter };
}

/** Models up to this size may run on the main thread. */
const INLINE_MODEL_BYTES = 1024 * 1024;

const PLACEMENTS: readonly string[] = ['auto', 'thread'];

/**
 * The parameter `placement`: `thread` keeps executions on worker threads; `auto`, the default, lets small models of
 * one instance whose executions prove to be short run on the main thread, where they spare two thread switches.
 */
function mayRunInline(config: ModelConfig, path: string): boolean {
  const placement = config.parameters['placement']?.stringValue ?? 'auto';
  if (!PLACEMENTS.includes(placement)) {
    throw invalidArgument(
      `parameter 'placement' of model '${config.name}' must be one of ${PLACEMENTS.join(', ')}, got '${placement}'`,
    );
  }
  return placement === 'auto' && statSync(path).size <= INLINE_MODEL_BYTES;
}
