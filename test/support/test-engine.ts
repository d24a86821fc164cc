import { silentLogger, systemClock } from '../../src/core/index.ts';
import {
  NO_PARAMETERS,
  type InferenceOutcome,
  type InferenceRequest,
  type InputTensor,
} from '../../src/protocol/index.ts';
import { NO_DEVICES } from '../../src/repository/index.ts';
import { createScriptedBackend } from './scripted-backend.ts';
import { createIdentityBackend } from '../../src/server/backends/identity/index.ts';
import { createOnnxruntimeBackend } from '../../src/server/backends/onnxruntime/index.ts';
import {
  DEFAULT_TRACE_SETTINGS,
  Engine,
  type EngineOptions,
  type OpenTelemetryOptions,
} from '../../src/server/engine/index.ts';

const NO_TELEMETRY: OpenTelemetryOptions = {
  url: '',
  resource: new Map(),
  maxQueueSize: 1,
  scheduleDelayMillis: 1000,
  maxExportBatchSize: 1,
};

export function engineOptions(repository: string, change: Partial<EngineOptions> = {}): EngineOptions {
  return {
    repositories: [repository],
    controlMode: 'none',
    loadModels: [],
    pollSeconds: 1,
    autoComplete: true,
    configName: undefined,
    strictDevices: false,
    strictReadiness: false,
    devices: NO_DEVICES,
    loadThreads: 4,
    maxInflightBytes: 2 ** 31,
    loadRetries: 0,
    namespacing: false,
    cache: undefined,
    sharedCache: false,
    rateLimits: undefined,
    summaries: false,
    tracing: { settings: DEFAULT_TRACE_SETTINGS, openTelemetry: NO_TELEMETRY },
    random: Math.random,
    startThreshold: 0,
    backlogThreshold: 0,
    clock: systemClock,
    logger: silentLogger,
    findBackend: async () => undefined,
    backendConfig: () => new Map(),
    ...change,
  };
}

/** An engine with both backends over a repository, started; disposing of it stops it. */
export async function startEngine(
  repository: string,
  change: Partial<EngineOptions> = {},
): Promise<Engine & AsyncDisposable> {
  const engine = new Engine(engineOptions(repository, change), [
    createIdentityBackend(),
    createOnnxruntimeBackend(),
    createScriptedBackend(),
  ]);
  await engine.start();
  return Object.assign(engine, { [Symbol.asyncDispose]: () => engine.stop(5) });
}

export function request(
  modelName: string,
  inputs: readonly InputTensor[],
  change: Partial<InferenceRequest> = {},
): InferenceRequest {
  return {
    modelName,
    modelVersion: '',
    id: '',
    inputs,
    outputs: [],
    parameters: NO_PARAMETERS,
    priority: 0,
    timeoutMicros: 0,
    ...change,
  };
}

/** Runs a request to its only response; rejects with its error. Output bytes are copied. */
export function inferOnce(engine: Engine, wanted: InferenceRequest): Promise<InferenceOutcome & { kind: 'response' }> {
  return new Promise((resolve, reject) => {
    engine.infer(wanted, (outcome) => {
      if (outcome.kind === 'response') {
        const outputs = outcome.response.outputs.map((output) => ({ ...output, data: Uint8Array.from(output.data) }));
        resolve({ ...outcome, response: { ...outcome.response, outputs } });
      } else if (outcome.kind === 'error') reject(outcome.error);
    });
  });
}

export function int32(name: string, shape: readonly number[], values: readonly number[]): InputTensor {
  return { name, datatype: 'INT32', shape, data: new Uint8Array(Int32Array.from(values).buffer) };
}

export function fp32(name: string, shape: readonly number[], values: readonly number[]): InputTensor {
  return { name, datatype: 'FP32', shape, data: new Uint8Array(Float32Array.from(values).buffer) };
}
