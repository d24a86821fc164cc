import { invalidArgument, notFound, ServerError } from '../../core/index.ts';
import { type Arrival, type InferenceRequest, isFinal } from '../../protocol/index.ts';
import { CustomMetrics, type RequestTrace } from '../../telemetry/index.ts';
import { isSafeModelName, scanRepositories } from '../../repository/index.ts';
import type { Backend, LoadOverride } from '../backends/contract.ts';
import { RateLimiter } from '../schedulers/index.ts';
import type { LoadedModel } from './loaded-model.ts';
import { ModelControl } from './model-control.ts';
import { ModelLoader } from './model-loader.ts';
import { type IndexEntry, ModelRegistry, parseVersion } from './model-registry.ts';
import type { EngineOptions } from './options.ts';
import type { OutcomeSink } from './pending-inference.ts';
import { RepositoryPoller } from './repository-poller.ts';
import type { ResponseCache } from './response-cache.ts';
import { serverAccess } from './server-access.ts';
import { SharedMemoryRegions } from './shared-memory.ts';
import { type TraceSettings, type TraceSettingValue, Tracer } from './tracing/index.ts';
import type { TrafficSplit } from './traffic.ts';

/** The server's life, from the outside. */
type EngineState = { readonly kind: 'starting' | 'serving' | 'failed' | 'stopping' };

/** Everything the server does, without any protocol: the one path that every inference takes. */
export class Engine {
  readonly options: EngineOptions;
  readonly sharedMemory = new SharedMemoryRegions();
  /** Metrics that models made. */
  readonly customMetrics = new CustomMetrics();
  private readonly registry: ModelRegistry;
  private readonly backends: Map<string, Backend>;
  private readonly loader: ModelLoader;
  private readonly control: ModelControl;
  private readonly poller: RepositoryPoller;
  private readonly cache: ResponseCache | undefined;
  private readonly tracer: Tracer;
  private state: EngineState = { kind: 'starting' };
  private inflightBytes = 0;
  private inflight = 0;

  constructor(options: EngineOptions, backends: readonly Backend[]) {
    this.options = options;
    this.backends = new Map(backends.map((backend) => [backend.name, backend]));
    this.registry = new ModelRegistry(options.namespacing);
    this.cache = options.cache?.();
    this.tracer = new Tracer(options.tracing, options.logger);
    const limiter = options.rateLimits ? new RateLimiter(options.rateLimits, options.clock) : undefined;
    const context = { options, backends: this.backends, cache: this.cache, limiter, server: serverAccess(this) };
    this.loader = new ModelLoader(context, this.registry);
    this.control = new ModelControl(options, this.registry, this.loader);
    this.poller = new RepositoryPoller(options, this.control);
  }

  /**
   * Loads what is to be loaded at start. Resolves when loading has ended, whether or not every model loaded.
   * @throws INVALID_ARG when a repository cannot be read
   */
  async start(): Promise<void> {
    const { controlMode, loadModels } = this.options;
    await scanRepositories(this.options.repositories);
    if (controlMode === 'explicit') await this.control.loadAtStart(loadModels);
    else await this.loader.loadAll();
    if (this.state.kind === 'starting') this.state = { kind: 'serving' };
    if (controlMode === 'poll' && this.options.pollSeconds > 0) await this.poller.start();
  }

  /** The start failed for good: neither live nor ready, until the process is stopped. */
  markFailed(): void {
    this.state = { kind: 'failed' };
  }

  /** Models that are known and not serving, with the reason: empty when every model loaded. */
  failures(): readonly { readonly name: string; readonly reason: string }[] {
    const failures: { name: string; reason: string }[] = [];
    for (const key of this.registry.all()) {
      const failure = this.registry.failure(key);
      if (failure !== undefined) failures.push({ name: this.registry.nameOf(key), reason: failure });
    }
    return failures;
  }

  get live(): boolean {
    return this.state.kind !== 'failed';
  }

  /** Ready to infer; under strict readiness only while no model has failed to load. */
  get ready(): boolean {
    if (this.state.kind !== 'serving') return false;
    return !this.options.strictReadiness || this.failures().length === 0;
  }

  /** Whether a model may answer with any number of responses; see `model` for what is thrown. */
  isDecoupled(name: string, version: string): boolean {
    return this.registry.resolve(name, version).decoupled;
  }

  isModelReady(name: string, version: string): boolean {
    return this.registry.isReady(name, version);
  }

  /** @throws NOT_FOUND or UNAVAILABLE in Triton's words */
  model(name: string, version: string): LoadedModel {
    if (this.state.kind === 'stopping') throw stopping();
    return this.registry.resolve(name, version);
  }

  /** The versions that a model's metadata lists: the one that was asked for, or all that are ready. */
  metadataVersions(model: LoadedModel, requestedVersion: string): readonly number[] {
    if (requestedVersion !== '') return [model.version];
    return this.registry.readyVersions(this.registry.keyFor(model.name)).map((ready) => ready.version);
  }

  /**
   * The versions that statistics were asked for: all, one model's, or one.
   * @throws INVALID_ARG when the model is not there
   */
  modelsForStatistics(name: string, version: string): readonly LoadedModel[] {
    if (name === '') return this.registry.allReady();
    const ready = this.registry.readyVersions(this.registry.keyFor(name));
    if (ready.length === 0) throw invalidArgument(`requested model '${name}' is not available`);
    if (version === '') return ready;
    const number = parseVersion(version);
    const wanted = ready.filter((model) => model.version === number);
    if (wanted.length === 0) throw invalidArgument(`requested model version is not available for model '${name}'`);
    return wanted;
  }

  allModels(): readonly LoadedModel[] {
    return this.registry.allReady();
  }

  /**
   * Runs an inference. Errors found before it is queued are thrown; later ones go to `sink`.
   * @returns a function that cancels the request
   */
  infer(request: InferenceRequest, sink: OutcomeSink): () => void {
    if (this.state.kind === 'stopping') throw stopping();
    return this.inferNested(request, sink);
  }

  /** An inference that belongs to one which is running, and so goes on while the server stops. */
  inferNested(request: InferenceRequest, sink: OutcomeSink): () => void {
    const model = this.registry.resolve(request.modelName, request.modelVersion, request.stickiness);
    const bytes = inputBytes(request);
    if (this.inflightBytes + bytes > this.options.maxInflightBytes && this.inflightBytes > 0) {
      throw new ServerError(
        'UNAVAILABLE',
        `the server holds ${this.inflightBytes} bytes of unanswered requests, with this one it would exceed its limit of ${this.options.maxInflightBytes} (--max-inflight-bytes)`,
        { overload: true },
      );
    }
    for (const output of request.outputs) {
      if (output.sharedMemory) this.sharedMemory.checkOutput(output.sharedMemory);
    }
    const resolved = this.sharedMemory.resolveInputs(request);
    const trace = this.tracer.active
      ? this.tracer.sample(model.name, request.id, request.arrival?.traceparent)
      : undefined;
    const traced = trace ? this.traced(trace, request.arrival, sink) : sink;
    const deliver = this.options.logger.settings.logVerboseLevel > 0 ? this.logged(model, request, traced) : traced;
    const cancel = model.infer(
      resolved,
      (outcome) => {
        if (isFinal(outcome)) {
          this.inflightBytes -= bytes;
          this.inflight--;
        }
        deliver(outcome);
      },
      undefined,
      trace,
    );
    this.inflightBytes += bytes;
    this.inflight++;
    return cancel;
  }

  /** Says in the log what became of a request, with its id and model. */
  private logged(model: LoadedModel, request: InferenceRequest, sink: OutcomeSink): OutcomeSink {
    const { logger, clock } = this.options;
    const fields = { model: model.name, version: model.version, request_id: request.id || '<id_unknown>' };
    const start = clock.now();
    logger.verbose(2, 'inference request received', fields);
    return (outcome) => {
      const duration_ms = Math.round((clock.now() - start) / 1e4) / 100;
      if (outcome.kind === 'error') {
        logger.verbose(1, `inference request failed: ${outcome.error.message}`, { ...fields, duration_ms });
      } else if (isFinal(outcome)) {
        logger.verbose(1, 'inference request answered', { ...fields, duration_ms });
      }
      sink(outcome);
    };
  }

  /** Marks in the trace when a request came in and when its answers go out. */
  private traced(trace: RequestTrace, arrival: Arrival | undefined, sink: OutcomeSink): OutcomeSink {
    const { clock } = this.options;
    const wire = arrival?.protocol === 'GRPC' ? 'GRPC_WAITREAD' : 'HTTP_RECV';
    if (arrival) {
      trace.mark(`${wire}_START`, arrival.startNs);
      trace.mark(`${wire}_END`, arrival.endNs);
    }
    return (outcome) => {
      const final = isFinal(outcome);
      const start = clock.now();
      sink(outcome);
      if (!final) return;
      trace.mark('INFER_RESPONSE_COMPLETE', start);
      if (!arrival) return;
      trace.mark(`${arrival.protocol}_SEND_START`, start);
      trace.mark(`${arrival.protocol}_SEND_END`, clock.now());
    };
  }

  /** Whether requests may be traced: front ends then say how they came. */
  get tracing(): boolean {
    return this.tracer.active;
  }

  /**
   * Trace settings of a model, or of all with an empty name.
   * @throws INVALID_ARG for a model that is not loaded
   */
  traceSettings(name: string, change: Readonly<Record<string, TraceSettingValue>>): TraceSettings {
    if (name !== '' && this.registry.readyVersions(this.registry.keyFor(name)).length === 0) {
      throw invalidArgument(`Request for unknown model : ${name}`);
    }
    return this.tracer.change(name, change);
  }

  async index(readyOnly: boolean): Promise<readonly IndexEntry[]> {
    const scan = await scanRepositories(this.options.repositories).catch(() => undefined);
    const known = this.options.controlMode === 'explicit' ? [...(scan?.folders.keys() ?? [])] : [];
    const duplicates = this.options.namespacing ? [] : [...(scan?.duplicates.keys() ?? [])];
    return this.registry.index(known, duplicates, readyOnly);
  }

  /** @throws INTERNAL with the reason, UNSUPPORTED unless the control mode is explicit */
  async load(name: string, override?: LoadOverride): Promise<void> {
    this.requireExplicit('load');
    await this.control.load(name, override);
  }

  /** @param withSteps an ensemble's steps go too (`unload_dependents`) */
  async unload(name: string, withSteps = false): Promise<void> {
    this.requireExplicit('unload');
    if (!isSafeModelName(name)) throw notFound(`invalid model name '${name}'`);
    await this.control.unload(name, withSteps);
  }

  /** Shares the requests that name no version out between the versions of a model; see `ModelControl`. */
  setTraffic(name: string, percent: ReadonlyMap<number, number>, stickyHeader?: string): void {
    this.control.setTraffic(name, percent, stickyHeader);
  }

  /** The header that ties clients of a model to one of its versions, if its traffic is split. */
  stickyHeader(name: string): string | undefined {
    return this.registry.hasTraffic ? this.traffic(name)?.stickyHeader : undefined;
  }

  /** Percent by version, and the header that ties clients to one; `undefined` when the newest version gets all. */
  traffic(name: string): TrafficSplit | undefined {
    return this.registry.traffic(this.registry.keyFor(name));
  }

  private requireExplicit(verb: 'load' | 'unload'): void {
    if (this.options.controlMode === 'explicit') return;
    throw new ServerError(
      'UNAVAILABLE',
      `explicit model ${verb} / unload is not allowed if polling is enabled or model control mode is '${this.options.controlMode}': start with --model-control-mode=explicit`,
    );
  }

  /** Stops accepting requests, lets accepted ones finish for at most `timeoutSeconds`, and frees everything. */
  async stop(timeoutSeconds: number): Promise<void> {
    this.state = { kind: 'stopping' };
    this.poller.stop();
    let left = timeoutSeconds;
    let expire: (() => void) | undefined;
    const timeout = new Promise<void>((resolve) => (expire = resolve));
    const timer = setInterval(() => {
      left--;
      this.options.logger.info(
        `Timeout ${left}: Found ${this.allModels().length} live models and ${this.inflight} in-flight requests`,
      );
      if (left <= 0) expire?.();
    }, 1000);
    if (left <= 0) expire?.();
    await Promise.race([this.control.unloadAll(), timeout]);
    if (this.inflight > 0) {
      this.options.logger.warn(`Exit timeout expired: ${this.inflight} requests are left without an answer`);
    }
    clearInterval(timer);
    this.sharedMemory.unregisterAll();
    await this.cache?.[Symbol.asyncDispose]();
    await this.tracer.close();
    await Promise.all([...this.backends.values()].map((backend) => backend[Symbol.asyncDispose]()));
  }
}

function stopping(): ServerError {
  return new ServerError(
    'UNAVAILABLE',
    'Server is stopping, scheduler for model has stopped accepting new inference requests',
  );
}

function inputBytes(request: InferenceRequest): number {
  let bytes = 0;
  for (const input of request.inputs) bytes += input.data.length;
  return bytes;
}
