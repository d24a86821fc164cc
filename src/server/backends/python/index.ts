import { join } from 'node:path';
import { internalError, toServerError } from '../../../core/index.ts';
import { type ModelConfig, modelConfigFromJson, modelConfigToJson } from '../../../protocol/index.ts';
import { modelFilenameFor } from '../../../repository/index.ts';
import type { Backend, BackendModel, InstanceSpec, ModelContext } from '../contract.ts';
import { secondsSetting } from '../settings.ts';
import { createSupervisedModel } from '../supervised-model.ts';
import { findInterpreter, type Interpreter } from './interpreter.ts';
import { PythonInstance } from './instance.ts';
import { PythonProcess } from './process.ts';
import { checkPlan } from './tensorrt-plan.ts';

/** A backend whose models run in Python processes. */
export interface PythonBackendOptions {
  /** As configurations name it. */
  readonly name: string;
  /** The module that serves the model's file; `undefined` when the file is the Python code itself. */
  readonly module?: string;
  /** The file that serves all models of the backend (a backend that is written in Python). */
  readonly file?: string;
  /** Looks at a model before a process is started for it, and tells properties for its metadata. */
  readonly check?: (context: ModelContext) => Readonly<Record<string, string>>;
}

/** Seconds for starting, loading and finalizing, each (`--backend-config=python,stub-timeout-seconds=N`). */
const DEFAULT_TIMEOUT_SECONDS = 120;

/**
 * Runs models written in Python (`model.py`), each instance in a process of its own.
 * (https://github.com/triton-inference-server/python_backend)
 */
export function createPythonBackend(options: PythonBackendOptions = { name: 'python' }): Backend {
  return {
    name: options.name,
    asksModels: true,
    loadModel: (context) => loadModel(context, options),
    async [Symbol.asyncDispose]() {},
  };
}

/** The frameworks whose library is Python's, served by the same processes. */
export function createFrameworkBackends(): Backend[] {
  return [
    createPythonBackend({ name: 'pytorch', module: 'goodput_worker.frameworks.pytorch' }),
    createPythonBackend({ name: 'tensorflow', module: 'goodput_worker.frameworks.tensorflow' }),
    createPythonBackend({ name: 'tensorrt', module: 'goodput_worker.frameworks.tensorrt', check: checkPlan }),
  ];
}

async function loadModel(context: ModelContext, options: PythonBackendOptions): Promise<BackendModel> {
  const { config } = context;
  const properties = options.check?.(context);
  const timeoutMs = secondsSetting(context, 'stub-timeout-seconds', DEFAULT_TIMEOUT_SECONDS) * 1000;
  const interpreter = await findInterpreter(context);
  const launch = (): Promise<PythonProcess> => startProcess(context, interpreter, timeoutMs);
  const first = await launch();
  try {
    const completed = await first.ask(loadMessage(context, options));
    if (completed !== null && completed !== undefined) complete(config, modelConfigFromJson(JSON.stringify(completed)));
  } catch (error) {
    await first.kill();
    throw internalError(toServerError(error).message);
  }
  return createSupervisedModel(context, {
    properties,
    first,
    async launch(spec) {
      const process = await launch();
      try {
        await process.ask({ ...loadMessage(context, options, spec), autoComplete: false });
      } catch (error) {
        await process.kill();
        throw error;
      }
      return process;
    },
    async prepare(process, spec) {
      await process.ask(initMessage(context, spec));
    },
    createInstance: (instance) => new PythonInstance(instance),
  });
}

function startProcess(context: ModelContext, interpreter: Interpreter, timeoutMs: number): Promise<PythonProcess> {
  const { config, logger, server } = context;
  return PythonProcess.start({ ...interpreter, model: config.name, logger, server, timeoutMs });
}

function loadMessage(
  { config, version, versionPath, autoComplete, devices }: ModelContext,
  { module, file }: PythonBackendOptions,
  spec?: InstanceSpec,
): { readonly k: 'load' } & Readonly<Record<string, unknown>> {
  const device = spec?.kind === 'gpu' ? devices.gpus.find((gpu) => gpu.id === spec.deviceId) : undefined;
  const filename = config.defaultModelFilename || 'model.py';
  return {
    k: 'load',
    name: config.name,
    version,
    versionPath,
    file: file ?? join(versionPath, modelFilenameFor(config.ccModelFilenames, filename, device ?? devices.gpus[0])),
    module: module ?? null,
    autoComplete,
    config: JSON.parse(modelConfigToJson(config)),
  };
}

function initMessage(
  { config, version, modelPath }: ModelContext,
  spec: InstanceSpec,
): { readonly k: 'init' } & Readonly<Record<string, unknown>> {
  return {
    k: 'init',
    config: JSON.parse(modelConfigToJson(config)),
    args: {
      model_name: config.name,
      model_version: String(version),
      model_repository: modelPath,
      model_instance_name: spec.name,
      model_instance_kind: spec.kind.toUpperCase(),
      model_instance_device_id: String(spec.deviceId),
    },
  };
}

/** Takes over what `auto_complete_config` may set. */
function complete(config: ModelConfig, completed: ModelConfig): void {
  config.maxBatchSize = completed.maxBatchSize;
  config.input = completed.input;
  config.output = completed.output;
  if (config.schedulingChoice.case === undefined) config.schedulingChoice = completed.schedulingChoice;
  if (completed.modelTransactionPolicy) config.modelTransactionPolicy = completed.modelTransactionPolicy;
}
