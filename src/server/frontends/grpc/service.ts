import { create, type MessageInitShape, toBinary } from '@bufbuild/protobuf';
import { describeLogSettings, parseLogSettings, ServerError } from '../../../core/index.ts';
import { grpcFrame } from '../../../protocol/index.ts';
import * as pb from '../../../protocol/generated/grpc_service_pb.js';
import * as health from '../../../protocol/generated/health_pb.js';
import { type Engine, modelMetadata, describeTraceSettings, statisticsView } from '../../engine/index.ts';
import type { ServerIdentity } from '../identity.ts';
import { missingHeader, type RestrictedApi, type Restrictions } from '../restrictions.ts';
import type { GrpcService } from './call.ts';
import { modelInfer, modelStreamInfer } from './infer-calls.ts';
import { repositoryMethods } from './repository-calls.ts';
import { sharedMemoryMethods } from './shared-memory-calls.ts';
import { delay, parseMessage, type Start, unary } from './unary.ts';

export interface GrpcServiceOptions {
  readonly engine: Engine;
  readonly identity: ServerIdentity;
  readonly restrictions: Restrictions;
  /** Metadata keys that become request parameters: a whole key must match. */
  readonly forward: RegExp | undefined;
  /** Holds the answers of all calls but inference back, for tests of clients' timeouts. */
  readonly delayMillis: number;
  /** The same for inference. */
  readonly inferDelayMillis: number;
}

const SERVICE = '/inference.GRPCInferenceService/';

/** `GRPCInferenceService` and `grpc.health.v1.Health` over an engine. */
export function createGrpcService(options: GrpcServiceOptions): GrpcService {
  const { engine, identity, restrictions, forward, delayMillis, inferDelayMillis } = options;
  const methods = new Map<string, Start>();
  const add = (api: RestrictedApi, calls: Readonly<Record<string, Start>>, late = delayMillis): void => {
    for (const [name, start] of Object.entries(calls)) {
      const slow = late > 0 ? delay(start, late) : start;
      methods.set(name.startsWith('/') ? name : SERVICE + name, restrict(slow, restrictions, api));
    }
  };
  add('health', { ...healthMethods(engine), '/grpc.health.v1.Health/Check': healthCheck(engine) });
  add('health', { '/grpc.health.v1.Health/Watch': healthWatch(engine) }, 0);
  add('metadata', metadataMethods(engine, identity));
  add('model-config', configMethods(engine));
  add('statistics', statisticsMethods(engine));
  add('model-repository', repositoryMethods(engine));
  add('shared-memory', sharedMemoryMethods(engine));
  add('trace', { TraceSetting: traceSetting(engine) });
  add('logging', { LogSettings: logSettings(engine) });
  add(
    'inference',
    {
      ModelInfer: (call) => modelInfer(engine, call, forward),
      ModelStreamInfer: (call) => modelStreamInfer(engine, call, forward),
    },
    inferDelayMillis,
  );
  return (method, call) => methods.get(method)?.(call);
}

/** Refuses calls without the key of their group. */
function restrict(start: Start, restrictions: Restrictions, api: RestrictedApi): Start {
  if (!restrictions.has(api)) return start;
  return (call) => {
    const header = missingHeader(restrictions, api, (name) => call.header(name));
    if (header === undefined) return start(call);
    call.finish(new ServerError('UNAVAILABLE', `This protocol is restricted, expecting header '${header}'`));
    return { message() {}, end() {}, cancel() {} };
  };
}

function healthMethods(engine: Engine): Record<string, Start> {
  return {
    ServerLive: unary(pb.ServerLiveRequestSchema, pb.ServerLiveResponseSchema, () => ({ live: engine.live })),
    ServerReady: unary(pb.ServerReadyRequestSchema, pb.ServerReadyResponseSchema, () => ({ ready: engine.ready })),
    ModelReady: unary(pb.ModelReadyRequestSchema, pb.ModelReadyResponseSchema, ({ name, version }) => ({
      ready: engine.isModelReady(name, version),
    })),
  };
}

function metadataMethods(engine: Engine, identity: ServerIdentity): Record<string, Start> {
  return {
    ServerMetadata: unary(pb.ServerMetadataRequestSchema, pb.ServerMetadataResponseSchema, () => ({
      name: identity.name,
      version: identity.version,
      extensions: [...identity.extensions],
    })),
    ModelMetadata: unary(pb.ModelMetadataRequestSchema, pb.ModelMetadataResponseSchema, ({ name, version }) => {
      const model = engine.model(name, version);
      const metadata = modelMetadata(model, engine.metadataVersions(model, version));
      const tensors = (list: typeof metadata.inputs): { name: string; datatype: string; shape: bigint[] }[] =>
        list.map((tensor) => ({ ...tensor, shape: tensor.shape.map(BigInt) }));
      return {
        name: metadata.name,
        versions: [...metadata.versions],
        platform: metadata.platform,
        inputs: tensors(metadata.inputs),
        outputs: tensors(metadata.outputs),
      };
    }),
  };
}

function configMethods(engine: Engine): Record<string, Start> {
  return {
    ModelConfig: unary(pb.ModelConfigRequestSchema, pb.ModelConfigResponseSchema, ({ name, version }) => ({
      config: engine.model(name, version).config,
    })),
  };
}

function statisticsMethods(engine: Engine): Record<string, Start> {
  return {
    ModelStatistics: unary(pb.ModelStatisticsRequestSchema, pb.ModelStatisticsResponseSchema, ({ name, version }) => ({
      modelStats: engine.modelsForStatistics(name, version).map((model) => statisticsMessage(statisticsView(model))),
    })),
  };
}

function statisticsMessage(view: ReturnType<typeof statisticsView>): MessageInitShape<typeof pb.ModelStatisticsSchema> {
  const duration = ({ count, ns }: { count: number; ns: number }): { count: bigint; ns: bigint } => ({
    count: BigInt(count),
    ns: BigInt(ns),
  });
  const { inference_stats: stats } = view;
  return {
    name: view.name,
    version: view.version,
    lastInference: BigInt(view.last_inference),
    inferenceCount: BigInt(view.inference_count),
    executionCount: BigInt(view.execution_count),
    inferenceStats: {
      success: duration(stats.success),
      fail: duration(stats.fail),
      queue: duration(stats.queue),
      computeInput: duration(stats.compute_input),
      computeInfer: duration(stats.compute_infer),
      computeOutput: duration(stats.compute_output),
      cacheHit: duration(stats.cache_hit),
      cacheMiss: duration(stats.cache_miss),
    },
    responseStats: Object.fromEntries(
      Object.entries(view.response_stats).map(([position, stat]) => [
        position,
        {
          computeInfer: duration(stat.compute_infer),
          computeOutput: duration(stat.compute_output),
          success: duration(stat.success),
          fail: duration(stat.fail),
          emptyResponse: duration(stat.empty_response),
          cancel: duration(stat.cancel),
        },
      ]),
    ),
    batchStats: view.batch_stats.map((batch) => ({
      batchSize: BigInt(batch.batch_size),
      computeInput: duration(batch.compute_input),
      computeInfer: duration(batch.compute_infer),
      computeOutput: duration(batch.compute_output),
    })),
  };
}

function traceSetting(engine: Engine): Start {
  return unary(pb.TraceSettingRequestSchema, pb.TraceSettingResponseSchema, ({ settings, modelName }) => {
    // No value at all means: as the level above says.
    const change = Object.fromEntries(
      Object.entries(settings).map(([name, { value }]) => [name, value.length === 0 ? null : value]),
    );
    return {
      settings: Object.fromEntries(
        Object.entries(describeTraceSettings(engine.traceSettings(modelName, change))).map(([name, value]) => [
          name,
          { value: typeof value === 'string' ? [value] : [...value] },
        ]),
      ),
    };
  });
}

function logSettings(engine: Engine): Start {
  return unary(pb.LogSettingsRequestSchema, pb.LogSettingsResponseSchema, ({ settings }) => {
    const { logger } = engine.options;
    const change: Record<string, unknown> = {};
    for (const [name, { parameterChoice }] of Object.entries(settings)) change[name] = parameterChoice.value;
    logger.update(parseLogSettings(change));
    return {
      settings: Object.fromEntries(
        Object.entries(describeLogSettings(logger.settings)).map(([name, value]) => [name, settingValue(value)]),
      ),
    };
  });
}

type SettingChoice = MessageInitShape<typeof pb.LogSettingsResponse_SettingValueSchema>;

function settingValue(value: string | boolean | number): SettingChoice {
  switch (typeof value) {
    case 'string':
      return { parameterChoice: { case: 'stringParam', value } };
    case 'boolean':
      return { parameterChoice: { case: 'boolParam', value } };
    case 'number':
      return { parameterChoice: { case: 'uint32Param', value } };
    default:
      return value satisfies never;
  }
}

const { SERVING, NOT_SERVING } = health.HealthCheckResponse_ServingStatus;

/** The health of the whole server: no service name, or that of the inference service. */
function healthStatus(engine: Engine, service: string): health.HealthCheckResponse_ServingStatus {
  if (service !== '' && service !== 'inference.GRPCInferenceService') {
    throw new ServerError('NOT_FOUND', `unknown service '${service}'`);
  }
  return engine.ready ? SERVING : NOT_SERVING;
}

function healthCheck(engine: Engine): Start {
  return unary(health.HealthCheckRequestSchema, health.HealthCheckResponseSchema, ({ service }) => ({
    status: healthStatus(engine, service),
  }));
}

const WATCH_INTERVAL_MS = 500;

/** Sends the state at once and whenever it changes. */
function healthWatch(engine: Engine): Start {
  return (call) => {
    let timer: NodeJS.Timeout | undefined;
    const watch = (service: string): void => {
      let last: number | undefined;
      const look = (): void => {
        const status = healthStatus(engine, service);
        if (status === last) return;
        last = status;
        const message = create(health.HealthCheckResponseSchema, { status });
        call.send(grpcFrame(toBinary(health.HealthCheckResponseSchema, message)));
      };
      look();
      timer = setInterval(look, WATCH_INTERVAL_MS);
      timer.unref();
    };
    return {
      message: (message) => watch(parseMessage(health.HealthCheckRequestSchema, message).service),
      end() {},
      cancel: () => clearInterval(timer),
    };
  };
}
