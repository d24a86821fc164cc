import { join } from 'node:path';
import { ServerError, toServerError } from '../../core/index.ts';
import { type ModelConfig, type ModelInstanceGroup, ModelInstanceGroup_Kind as Kind } from '../../protocol/index.ts';
import { type ModelSource, validateConfig } from '../../repository/index.ts';
import type { Backend, BackendInstance, BackendModel, InstanceSpec, ServerAccess } from '../backends/contract.ts';
import {
  EnsembleScheduler,
  type ExecutionPermit,
  type RateLimit,
  type RateLimiter,
  type ScheduledInstance,
  type StepConfig,
} from '../schedulers/index.ts';
import { Summary } from '../../telemetry/index.ts';
import { buildEnsemble } from './ensemble-graph.ts';
import { readInitialStates } from './initial-states.ts';
import { LoadedModel } from './loaded-model.ts';
import type { EngineOptions } from './options.ts';
import type { ResponseCache } from './response-cache.ts';
import { addedTensors, createScheduler } from './scheduling.ts';
import type { StatisticsOptions } from './statistics.ts';
import { warmUp } from './warmup.ts';

/** What loading a version needs of the engine. */
export interface LoadContext {
  readonly options: EngineOptions;
  /** By name; those that were found outside the server come in. */
  readonly backends: Map<string, Backend>;
  readonly cache: ResponseCache | undefined;
  /** `undefined` when executions are not limited. */
  readonly limiter: RateLimiter | undefined;
  /** What models may ask of the server. */
  readonly server: ServerAccess;
  /** The model that a step of an ensemble runs on now. */
  findStep(step: StepConfig): LoadedModel;
  /** Tells answers of this load in the cache from those of another one. */
  readonly cachePrefix: string;
}

/** Loads one version of a model: backend, instances, warm-up. On failure everything is freed again. */
export async function loadModelVersion(
  source: ModelSource,
  version: number,
  context: LoadContext,
): Promise<LoadedModel> {
  if (source.config.schedulingChoice.case === 'ensembleScheduling') return loadEnsemble(source, version, context);
  const { config } = source;
  const { options } = context;
  const backend = await findBackend(config, context);
  const model = await backend.loadModel({
    config,
    version,
    modelPath: source.folder.path,
    versionPath: join(source.folder.path, String(version)),
    autoComplete: options.autoComplete,
    devices: options.devices,
    logger: options.logger,
    backendConfig: options.backendConfig(config.backend),
    server: context.server,
  });
  const instances: BackendInstance[] = [];
  const planned = plannedInstances(config);
  const seats = new Seats(config.name, planned, context.limiter);
  try {
    validateConfig(config, options.devices);
    const states = await readInitialStates(config, source.folder.path);
    seats.check();
    instances.push(...(await createInstances(model, planned)));
    await warmUp(config, source.folder.path, instances, options.logger, (rows) => addedTensors(config, states, rows));
    const scheduled = instances.map((instance, index) => seats.admit(instance, index));
    return new LoadedModel({
      source,
      version,
      clock: options.clock,
      model,
      instances,
      asksModels: backend.asksModels ?? false,
      labels: source.labels,
      statistics: statisticsOptions(config, options),
      namespace: namespaceOf(source, options),
      cache: cacheOf(config, context),
      scheduler: (hooks) => createScheduler(config, scheduled, { clock: options.clock, hooks, states, options }),
      released: () => seats.leave(),
    });
  } catch (error) {
    seats.leave();
    await Promise.all(instances.map((instance) => instance[Symbol.asyncDispose]()));
    await model[Symbol.asyncDispose]();
    throw error;
  }
}

async function loadEnsemble(source: ModelSource, version: number, context: LoadContext): Promise<LoadedModel> {
  const { config } = source;
  const { clock, devices } = context.options;
  validateConfig(config, devices);
  const plan = buildEnsemble(config, (step) => context.findStep(step));
  if (plan.steps.some((step) => step.decoupled)) {
    config.modelTransactionPolicy = { $typeName: 'inference.ModelTransactionPolicy', decoupled: true };
  }
  return new LoadedModel({
    source,
    version,
    clock,
    model: undefined,
    instances: [],
    asksModels: true,
    labels: ensembleLabels(source, context, plan.steps),
    statistics: statisticsOptions(config, context.options),
    namespace: namespaceOf(source, context.options),
    cache: cacheOf(config, context),
    scheduler: (hooks) => new EnsembleScheduler(plan, (step) => context.findStep(step), clock, hooks),
    released: () => undefined,
  });
}

/** An output without labels of its own has those of the step that makes it. */
function ensembleLabels(
  { config, labels }: ModelSource,
  context: LoadContext,
  steps: readonly StepConfig[],
): ReadonlyMap<string, readonly string[]> {
  const all = new Map(labels);
  for (const { name } of config.output) {
    if (all.has(name)) continue;
    for (const step of steps) {
      const made = [...step.outputs].find(([, tensor]) => tensor === name)?.[0];
      const inherited = made === undefined ? undefined : context.findStep(step).labels.get(made);
      if (inherited) all.set(name, inherited);
    }
  }
  return all;
}

function cacheOf(
  config: ModelConfig,
  { cache, cachePrefix, options }: LoadContext,
): { readonly cache: ResponseCache; readonly prefix: string } | undefined {
  if (!config.responseCache?.enable) return undefined;
  if (cache) return { cache, prefix: cachePrefix };
  options.logger.warn(
    `model '${config.name}' enables the response cache, and the server has none: start it with --cache-config=local,size=BYTES`,
  );
  return undefined;
}

function namespaceOf({ folder }: ModelSource, { namespacing }: EngineOptions): string {
  return namespacing ? folder.repository : '';
}

/** `model_metrics` may give the first-response histogram other bounds. */
function statisticsOptions(config: ModelConfig, { summaries, clock, random }: EngineOptions): StatisticsOptions {
  const control = config.modelMetrics?.metricControl.find(
    (entry) => entry.metricIdentifier?.family === 'nv_inference_first_response_histogram_ms',
  );
  const buckets = control?.metricOptions.value?.buckets;
  return {
    summary: summaries ? () => new Summary(() => clock.epochMillis(), random) : undefined,
    firstResponseBuckets: buckets && buckets.length > 0 ? buckets : undefined,
  };
}

async function findBackend(config: ModelConfig, { backends, options }: LoadContext): Promise<Backend> {
  const known = backends.get(config.backend);
  if (known) return known;
  const found = config.backend === '' ? undefined : await options.findBackend(config.backend);
  if (found) {
    backends.set(config.backend, found);
    return found;
  }
  throw new ServerError(
    'INVALID_ARG',
    config.backend === ''
      ? `model '${config.name}' must specify 'backend' or 'platform'`
      : `unable to find backend library for backend '${config.backend}' of model '${config.name}'; available backends: ${[...backends.keys()].join(', ')}`,
  );
}

async function createInstances(
  model: BackendModel,
  planned: readonly PlannedInstance[],
): Promise<readonly BackendInstance[]> {
  const outcomes = await Promise.allSettled(planned.map(({ spec }) => model.createInstance(spec)));
  const created = outcomes.flatMap((outcome) => (outcome.status === 'fulfilled' ? [outcome.value] : []));
  const failed = outcomes.find((outcome) => outcome.status === 'rejected');
  if (!failed) return created;
  await Promise.all(created.map((instance) => instance[Symbol.asyncDispose]()));
  throw toServerError(failed.reason);
}

interface PlannedInstance {
  readonly spec: InstanceSpec;
  readonly limit: RateLimit;
}

/** One entry per instance: `count` of each group, on each of its GPUs. */
function plannedInstances(config: ModelConfig): readonly PlannedInstance[] {
  const planned: PlannedInstance[] = [];
  for (const group of config.instanceGroup) {
    const devices = group.kind === Kind.GPU ? group.gpus : [0];
    const kind = group.kind === Kind.GPU ? 'gpu' : group.kind === Kind.MODEL ? 'model' : 'cpu';
    for (const deviceId of devices) {
      for (let index = 0; index < group.count; index++) {
        planned.push({ spec: { name: `${group.name}_${planned.length}`, kind, deviceId }, limit: limitOf(group) });
      }
    }
  }
  return planned;
}

function limitOf({ rateLimiter }: ModelInstanceGroup): RateLimit {
  return {
    resources: (rateLimiter?.resources ?? []).map(({ name, global, count }) => ({ name, global, count })),
    priority: rateLimiter?.priority ?? 0,
  };
}

/** A model's places with the rate limiter, if there is one. */
class Seats {
  private readonly model: string;
  private readonly planned: readonly PlannedInstance[];
  private readonly limiter: RateLimiter | undefined;
  private readonly leaving: (() => void)[] = [];

  constructor(model: string, planned: readonly PlannedInstance[], limiter: RateLimiter | undefined) {
    this.model = model;
    this.planned = planned;
    this.limiter = limiter;
  }

  check(): void {
    this.limiter?.check(this.planned.map(({ spec, limit }) => ({ limit, device: spec.deviceId })));
  }

  admit(instance: BackendInstance, index: number): ScheduledInstance {
    const plan = this.planned[index];
    let permit: ExecutionPermit | undefined;
    if (this.limiter && plan) {
      const seat = this.limiter.admit(this.model, plan.spec.deviceId, plan.limit);
      this.leaving.push(seat.leave);
      permit = seat.permit;
    }
    return { instance, rank: plan?.spec.kind === 'gpu' ? 0 : 1, permit };
  }

  leave(): void {
    for (const leave of this.leaving.splice(0)) leave();
  }
}
