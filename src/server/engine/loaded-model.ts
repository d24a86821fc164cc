import { join } from 'node:path';
import { type Clock, ServerError, toServerError, unsupported } from '../../core/index.ts';
import { type InferenceRequest, type ModelConfig, ModelInstanceGroup_Kind as Kind } from '../../protocol/index.ts';
import { type ModelSource, validateConfig } from '../../repository/index.ts';
import type { Backend, BackendInstance, BackendModel, InstanceSpec } from '../backends/contract.ts';
import {
  DirectScheduler,
  DynamicScheduler,
  type Execution,
  type Scheduler,
  type SchedulerHooks,
} from '../schedulers/index.ts';
import { checkRequest, type ModelInterface } from './check-request.ts';
import { type InferenceHost, type OutcomeSink, PendingInference } from './pending-inference.ts';
import { type FailureReason, ModelStatistics } from './statistics.ts';
import { inputSpecs, outputSpecs, type TensorSpec } from './tensor-spec.ts';
import { warmUp } from './warmup.ts';
import type { EngineOptions } from './options.ts';

/** One version of a model, ready to infer. */
export class LoadedModel implements InferenceHost, ModelInterface {
  readonly name: string;
  readonly version: number;
  readonly config: ModelConfig;
  readonly batching: boolean;
  readonly maxBatchSize: number;
  readonly inputs: readonly TensorSpec[];
  readonly outputs: readonly TensorSpec[];
  readonly labels: ReadonlyMap<string, readonly string[]>;
  readonly statistics = new ModelStatistics();
  private readonly clock: Clock;
  private readonly model: BackendModel;
  private readonly instances: readonly BackendInstance[];
  private readonly scheduler: Scheduler;
  private readonly failedInExecution = new WeakSet<object>();
  /** Bytes of the inputs of requests that have not been answered. */
  inflightBytes = 0;

  constructor(
    source: ModelSource,
    version: number,
    clock: Clock,
    model: BackendModel,
    instances: readonly BackendInstance[],
    startThreshold: number,
  ) {
    this.name = source.config.name;
    this.version = version;
    this.config = source.config;
    this.labels = source.labels;
    this.maxBatchSize = source.config.maxBatchSize;
    this.batching = this.maxBatchSize > 0;
    this.inputs = inputSpecs(source.config);
    this.outputs = outputSpecs(source.config);
    this.clock = clock;
    this.model = model;
    this.instances = instances;
    const hooks: SchedulerHooks = { executed: (execution) => this.executed(execution) };
    this.scheduler = createScheduler(source.config, instances, clock, hooks, startThreshold);
  }

  /** Requests that wait for an instance. */
  get pending(): number {
    return this.scheduler.pending;
  }

  /**
   * Runs a request. Errors found before it is queued are thrown; everything later goes to `sink`.
   * @returns a function that cancels the request as long as it waits
   */
  infer(request: InferenceRequest, sink: OutcomeSink): () => void {
    const receivedAt = this.clock.now();
    const checked = this.check(request, receivedAt);
    const inference = new PendingInference(this, request, checked, receivedAt, this.clock.now(), sink);
    this.inflightBytes += checked.bytes;
    this.scheduler.enqueue(inference);
    return () => {
      inference.cancelled = true;
    };
  }

  ended(inference: PendingInference, error: ServerError | undefined): void {
    this.inflightBytes -= inference.checked.bytes;
    const totalNs = this.clock.now() - inference.receivedAt;
    if (error) {
      if (inference.startedAt > 0) this.failedInExecution.add(inference);
      this.statistics.failed(totalNs, failureReason(error, inference.startedAt > 0));
    } else {
      this.statistics.succeeded(totalNs, this.clock.epochMillis());
    }
  }

  /** Waits until every request is answered, then frees the instances. */
  async drain(): Promise<void> {
    await this.scheduler.drained();
    await this.dispose();
  }

  /** Fails what waits and frees the instances. */
  async close(): Promise<void> {
    this.scheduler.close();
    await this.dispose();
  }

  private async dispose(): Promise<void> {
    await Promise.all(this.instances.map((instance) => instance[Symbol.asyncDispose]()));
    await this.model[Symbol.asyncDispose]();
  }

  private check(request: InferenceRequest, receivedAt: number): ReturnType<typeof checkRequest> {
    try {
      return checkRequest(this, request);
    } catch (error) {
      this.statistics.failed(this.clock.now() - receivedAt, 'OTHER');
      throw error;
    }
  }

  private executed(execution: Execution): void {
    const succeeded = execution.requests.some((request) => !this.failedInExecution.has(request.origin ?? request));
    if (succeeded) this.statistics.executed(execution);
  }
}

function failureReason(error: ServerError, started: boolean): FailureReason {
  if (error.code === 'CANCELLED') return 'CANCELED';
  if (started) return 'BACKEND';
  return error.code === 'UNAVAILABLE' ? 'REJECTED' : 'OTHER';
}

function createScheduler(
  config: ModelConfig,
  instances: readonly BackendInstance[],
  clock: Clock,
  hooks: SchedulerHooks,
  startThreshold: number,
): Scheduler {
  const choice = config.schedulingChoice;
  if (choice.case !== 'dynamicBatching' || config.maxBatchSize === 0)
    return new DirectScheduler(instances, clock, hooks);
  const batching = choice.value;
  return new DynamicScheduler(instances, clock, hooks, {
    maxBatchSize: config.maxBatchSize,
    preferredBatchSizes: batching.preferredBatchSize,
    maxQueueDelayMicros: Number(batching.maxQueueDelayMicroseconds),
    preserveOrdering: batching.preserveOrdering,
    maxQueueSize: batching.defaultQueuePolicy?.maxQueueSize ?? 0,
    startThreshold,
  });
}

/** What this build does not run is refused at load, by name, instead of being ignored. */
function refuseUnsupported(config: ModelConfig): void {
  const refuse = (what: string): never => {
    throw unsupported(`model '${config.name}' uses ${what}, which this version of goodput does not support`);
  };
  if (config.schedulingChoice.case === 'sequenceBatching') refuse("'sequence_batching'");
  if (config.schedulingChoice.case === 'ensembleScheduling') refuse("'ensemble_scheduling'");
  if (config.modelTransactionPolicy?.decoupled) refuse("'model_transaction_policy { decoupled }'");
}

/** Settings that are accepted and have no effect yet: said once per load. */
function ignoredSettings(config: ModelConfig): readonly string[] {
  const ignored: string[] = [];
  if (config.responseCache?.enable) ignored.push('response_cache');
  if (config.instanceGroup.some((group) => group.rateLimiter)) ignored.push('instance_group.rate_limiter');
  const batching = config.schedulingChoice.case === 'dynamicBatching' ? config.schedulingChoice.value : undefined;
  if (batching && batching.priorityLevels > 0n) ignored.push('dynamic_batching.priority_levels');
  if (batching?.defaultQueuePolicy?.defaultTimeoutMicroseconds) {
    ignored.push('dynamic_batching.default_queue_policy.default_timeout_microseconds');
  }
  return ignored;
}

/** Loads one version of a model: backend, instances, warm-up. On failure everything is freed again. */
export async function loadModelVersion(
  source: ModelSource,
  version: number,
  backends: ReadonlyMap<string, Backend>,
  options: EngineOptions,
): Promise<LoadedModel> {
  const { config } = source;
  refuseUnsupported(config);
  const backend = backends.get(config.backend);
  if (!backend) {
    throw new ServerError(
      'INVALID_ARG',
      config.backend === ''
        ? `model '${config.name}' must specify 'backend' or 'platform'`
        : `unable to find backend library for backend '${config.backend}' of model '${config.name}'; available backends: ${[...backends.keys()].join(', ')}`,
    );
  }
  const model = await backend.loadModel({
    config,
    version,
    modelPath: source.folder.path,
    versionPath: join(source.folder.path, String(version)),
    autoComplete: options.autoComplete,
    devices: options.devices,
    logger: options.logger,
    backendConfig: options.backendConfig(config.backend),
  });
  const instances: BackendInstance[] = [];
  try {
    validateConfig(config, options.devices);
    instances.push(...(await createInstances(model, config)));
    await warmUp(config, source.folder.path, instances, options.logger);
    for (const setting of ignoredSettings(config)) {
      options.logger.warn(`model '${config.name}': '${setting}' has no effect in this version of goodput`);
    }
    return new LoadedModel(source, version, options.clock, model, instances, options.startThreshold);
  } catch (error) {
    await Promise.all(instances.map((instance) => instance[Symbol.asyncDispose]()));
    await model[Symbol.asyncDispose]();
    throw error;
  }
}

async function createInstances(model: BackendModel, config: ModelConfig): Promise<readonly BackendInstance[]> {
  const outcomes = await Promise.allSettled(instanceSpecs(config).map((spec) => model.createInstance(spec)));
  const created = outcomes.flatMap((outcome) => (outcome.status === 'fulfilled' ? [outcome.value] : []));
  const failed = outcomes.find((outcome) => outcome.status === 'rejected');
  if (!failed) return created;
  await Promise.all(created.map((instance) => instance[Symbol.asyncDispose]()));
  throw toServerError(failed.reason);
}

/** One entry per instance: `count` of each group, on each of its GPUs. */
function instanceSpecs(config: ModelConfig): readonly InstanceSpec[] {
  const specs: InstanceSpec[] = [];
  for (const group of config.instanceGroup) {
    const devices = group.kind === Kind.GPU ? group.gpus : [0];
    const kind = group.kind === Kind.GPU ? 'gpu' : group.kind === Kind.MODEL ? 'model' : 'cpu';
    for (const deviceId of devices) {
      for (let index = 0; index < group.count; index++) {
        specs.push({ name: `${group.name}_${specs.length}`, kind, deviceId });
      }
    }
  }
  return specs;
}
