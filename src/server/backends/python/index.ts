import { join } from 'node:path';
import { internalError, invalidArgument, toServerError } from '../../../core/index.ts';
import { type ModelConfig, modelConfigFromJson, modelConfigToJson } from '../../../protocol/index.ts';
import type { Backend, BackendModel, InstanceSpec, ModelContext } from '../contract.ts';
import { findInterpreter, type Interpreter } from './interpreter.ts';
import { PythonInstance } from './instance.ts';
import { PythonProcess } from './process.ts';

/** A backend whose models run in Python processes. */
export interface PythonBackendOptions {
  /** As configurations name it. */
  readonly name: string;
  /** The module that serves the model's file; `undefined` when the file is the Python code itself. */
  readonly module?: string;
  /** The file that serves all models of the backend (a backend that is written in Python). */
  readonly file?: string;
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
    loadModel: (context) => loadModel(context, options),
    async [Symbol.asyncDispose]() {},
  };
}

async function loadModel(context: ModelContext, options: PythonBackendOptions): Promise<BackendModel> {
  const { config } = context;
  const timeoutMs = secondsSetting(context, 'stub-timeout-seconds', DEFAULT_TIMEOUT_SECONDS) * 1000;
  const executionLimitMs = executionLimit(context);
  const interpreter = await findInterpreter(context);
  const launch = (): Promise<PythonProcess> => startProcess(context, interpreter, timeoutMs);
  const first = await launch();
  let spare: PythonProcess | undefined = first;
  const instances: PythonInstance[] = [];
  try {
    const completed = await first.ask(loadMessage(context, options));
    if (completed !== null && completed !== undefined) complete(config, modelConfigFromJson(JSON.stringify(completed)));
  } catch (error) {
    await first.kill();
    throw internalError(toServerError(error).message);
  }
  return {
    get ready() {
      return instances.some((instance) => instance.ready);
    },
    async createInstance(spec) {
      const start = async (): Promise<PythonProcess> => {
        const reused = spare;
        spare = undefined;
        const process = reused ?? (await launch());
        try {
          if (!reused) await process.ask({ ...loadMessage(context, options), autoComplete: false });
          await process.ask(initMessage(context, spec));
        } catch (error) {
          await process.kill();
          throw error;
        }
        return process;
      };
      const { logger, server } = context;
      const decoupled = config.modelTransactionPolicy?.decoupled ?? false;
      const instanceOptions = {
        name: spec.name,
        model: config.name,
        decoupled,
        logger,
        server,
        executionLimitMs,
        start,
      };
      const instance = new PythonInstance(instanceOptions, await start());
      instances.push(instance);
      return instance;
    },
    async [Symbol.asyncDispose]() {
      await spare?.kill();
    },
  };
}

function startProcess(context: ModelContext, interpreter: Interpreter, timeoutMs: number): Promise<PythonProcess> {
  const { config, logger } = context;
  return PythonProcess.start({ ...interpreter, model: config.name, logger, timeoutMs });
}

function loadMessage(
  { config, version, versionPath, autoComplete }: ModelContext,
  { module, file }: PythonBackendOptions,
): { readonly k: 'load' } & Readonly<Record<string, unknown>> {
  return {
    k: 'load',
    name: config.name,
    version,
    versionPath,
    file: file ?? join(versionPath, config.defaultModelFilename || 'model.py'),
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

/** `--backend-config=python,execute-timeout-seconds=N`, or the model's parameter `EXECUTE_TIMEOUT_SECONDS`. */
function executionLimit(context: ModelContext): number {
  const own = context.config.parameters['EXECUTE_TIMEOUT_SECONDS']?.stringValue;
  if (own === undefined) return secondsSetting(context, 'execute-timeout-seconds', 0) * 1000;
  return seconds(`parameter EXECUTE_TIMEOUT_SECONDS of model '${context.config.name}'`, own) * 1000;
}

function secondsSetting({ backendConfig }: ModelContext, name: string, fallback: number): number {
  const text = backendConfig.get(name);
  return text === undefined ? fallback : seconds(`--backend-config=python,${name}`, text);
}

function seconds(what: string, text: string): number {
  const value = Number(text);
  if (text.trim() === '' || !Number.isFinite(value) || value < 0) {
    throw invalidArgument(`${what} must be a number of seconds >= 0, got '${text}'`);
  }
  return value;
}
