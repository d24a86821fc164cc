import { errorMessage, invalidArgument, notFound, ServerError, unsupported } from '../../core/index.ts';
import type { InferenceRequest } from '../../protocol/index.ts';
import { isSafeModelName, scanRepositories } from '../../repository/index.ts';
import type { Backend } from '../backends/contract.ts';
import type { LoadedModel } from './loaded-model.ts';
import { ModelLoader } from './model-loader.ts';
import { type IndexEntry, ModelRegistry, parseVersion } from './model-registry.ts';
import type { EngineOptions } from './options.ts';
import type { OutcomeSink } from './pending-inference.ts';
import { fingerprint } from './repository-watch.ts';
import { SharedMemoryRegions } from './shared-memory.ts';

/** The server's life, from the outside. */
type EngineState = { readonly kind: 'starting' | 'serving' | 'failed' | 'stopping' };

/** Everything the server does, without any protocol: the one path that every inference takes. */
export class Engine {
  readonly options: EngineOptions;
  readonly sharedMemory = new SharedMemoryRegions();
  private readonly registry = new ModelRegistry();
  private readonly backends: ReadonlyMap<string, Backend>;
  private readonly loader: ModelLoader;
  private state: EngineState = { kind: 'starting' };
  private pollTimer: NodeJS.Timeout | undefined;
  private readonly fingerprints = new Map<string, string>();
  private inflightBytes = 0;

  constructor(options: EngineOptions, backends: readonly Backend[]) {
    this.options = options;
    this.backends = new Map(backends.map((backend) => [backend.name, backend]));
    this.loader = new ModelLoader(options, this.registry, this.backends);
  }

  /**
   * Loads what is to be loaded at start. Resolves when loading has ended, whether or not every model loaded.
   * @throws INVALID_ARG when a repository cannot be read
   */
  async start(): Promise<void> {
    const { controlMode, loadModels } = this.options;
    await scanRepositories(this.options.repositories);
    if (controlMode === 'explicit') await this.loadAtStart(loadModels);
    else await this.loader.loadAll();
    if (this.state.kind === 'starting') this.state = { kind: 'serving' };
    if (controlMode === 'poll' && this.options.pollSeconds > 0) await this.startPolling();
  }

  private async loadAtStart(names: readonly string[]): Promise<void> {
    if (names.length === 1 && names[0] === '*') {
      await this.loader.loadAll();
      return;
    }
    await Promise.all(
      names.map((name) =>
        this.loader.load(name).catch((error: unknown) => {
          if (this.registry.versions(name).size === 0) this.registry.setFailure(name, error);
        }),
      ),
    );
  }

  /** The start failed for good: neither live nor ready, until the process is stopped. */
  markFailed(): void {
    this.state = { kind: 'failed' };
  }

  /** Models that are known and not serving, with the reason: empty when every model loaded. */
  failures(): readonly { readonly name: string; readonly reason: string }[] {
    const failures: { name: string; reason: string }[] = [];
    for (const name of this.registry.names()) {
      const failure = this.registry.failure(name);
      if (failure !== undefined) failures.push({ name, reason: failure });
    }
    return failures;
  }

  get live(): boolean {
    return this.state.kind === 'starting' || this.state.kind === 'serving';
  }

  /** Ready to infer; under strict readiness only while no model has failed to load. */
  get ready(): boolean {
    if (this.state.kind !== 'serving') return false;
    return !this.options.strictReadiness || this.failures().length === 0;
  }

  isModelReady(name: string, version: string): boolean {
    return this.registry.isReady(name, version);
  }

  /** @throws NOT_FOUND or UNAVAILABLE in Triton's words */
  model(name: string, version: string): LoadedModel {
    return this.registry.resolve(name, version);
  }

  /** The versions that a model's metadata lists: the one that was asked for, or all that are ready. */
  metadataVersions(model: LoadedModel, requestedVersion: string): readonly number[] {
    if (requestedVersion !== '') return [model.version];
    return this.registry.readyVersions(model.name).map((ready) => ready.version);
  }

  /**
   * The versions that statistics were asked for: all, one model's, or one.
   * @throws INVALID_ARG when the model is not there
   */
  modelsForStatistics(name: string, version: string): readonly LoadedModel[] {
    if (name === '') return this.registry.allReady();
    const ready = this.registry.readyVersions(name);
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
   * @returns a function that cancels the request as long as it waits
   */
  infer(request: InferenceRequest, sink: OutcomeSink): () => void {
    if (this.state.kind === 'stopping') {
      throw new ServerError(
        'UNAVAILABLE',
        'Server is stopping, scheduler for model has stopped accepting new inference requests',
      );
    }
    const model = this.registry.resolve(request.modelName, request.modelVersion);
    const bytes = inputBytes(request);
    if (this.inflightBytes + bytes > this.options.maxInflightBytes && this.inflightBytes > 0) {
      throw new ServerError(
        'UNAVAILABLE',
        `the server holds ${this.inflightBytes} bytes of unanswered requests, with this one it would exceed its limit of ${this.options.maxInflightBytes} (--max-inflight-bytes)`,
      );
    }
    for (const output of request.outputs) {
      if (output.sharedMemory) this.sharedMemory.checkOutput(output.sharedMemory);
    }
    const resolved = this.sharedMemory.resolveInputs(request);
    const cancel = model.infer(resolved, (outcome) => {
      if (outcome.kind === 'empty-final' || outcome.final) this.inflightBytes -= bytes;
      sink(outcome);
    });
    this.inflightBytes += bytes;
    return cancel;
  }

  async index(readyOnly: boolean): Promise<readonly IndexEntry[]> {
    const scan = await scanRepositories(this.options.repositories).catch(() => undefined);
    const known = this.options.controlMode === 'explicit' ? [...(scan?.folders.keys() ?? [])] : [];
    return this.registry.index(known, readyOnly);
  }

  /** @throws INTERNAL with the reason, UNSUPPORTED unless the control mode is explicit */
  async load(name: string, configOverride?: string): Promise<void> {
    this.requireExplicit('load');
    await this.loader.load(name, configOverride);
  }

  async unload(name: string): Promise<void> {
    this.requireExplicit('unload');
    if (!isSafeModelName(name)) throw notFound(`invalid model name '${name}'`);
    await this.loader.unload(name);
  }

  private requireExplicit(verb: 'load' | 'unload'): void {
    if (this.options.controlMode === 'explicit') return;
    throw new ServerError(
      'UNAVAILABLE',
      `explicit model ${verb} / unload is not allowed if polling is enabled or model control mode is '${this.options.controlMode}': start with --model-control-mode=explicit`,
    );
  }

  private async startPolling(): Promise<void> {
    await this.remember();
    const next = (): void => {
      this.pollTimer = setTimeout(() => {
        void this.poll()
          .catch((error: unknown) =>
            this.options.logger.error(`polling the model repository failed: ${errorMessage(error)}`),
          )
          .finally(() => {
            if (this.state.kind === 'serving') next();
          });
      }, this.options.pollSeconds * 1000);
      this.pollTimer.unref();
    };
    next();
  }

  private async remember(): Promise<void> {
    const { folders } = await scanRepositories(this.options.repositories);
    for (const folder of folders.values()) this.fingerprints.set(folder.name, await fingerprint(folder.path));
  }

  /** Compares the repositories with what was seen last; loads what is new or changed, unloads what is gone. */
  private async poll(): Promise<void> {
    const { folders } = await scanRepositories(this.options.repositories);
    const work: Promise<unknown>[] = [];
    for (const folder of folders.values()) {
      const seen = await fingerprint(folder.path);
      if (this.fingerprints.get(folder.name) === seen) continue;
      this.fingerprints.set(folder.name, seen);
      work.push(this.loader.load(folder.name).catch(() => undefined));
    }
    for (const name of this.fingerprints.keys()) {
      if (folders.has(name)) continue;
      this.fingerprints.delete(name);
      work.push(this.loader.unload(name));
    }
    await Promise.all(work);
  }

  /** Stops accepting requests, lets accepted ones finish for at most `timeoutSeconds`, and frees everything. */
  async stop(timeoutSeconds: number): Promise<void> {
    this.state = { kind: 'stopping' };
    clearTimeout(this.pollTimer);
    const work = (async () => {
      await Promise.all(this.registry.names().map((name) => this.loader.unload(name)));
      await this.loader.settled();
    })();
    let timer: NodeJS.Timeout | undefined;
    const timeout = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, timeoutSeconds * 1000);
    });
    await Promise.race([work, timeout]);
    clearTimeout(timer);
    this.sharedMemory.unregisterAll();
    await Promise.all([...this.backends.values()].map((backend) => backend[Symbol.asyncDispose]()));
  }
}

function inputBytes(request: InferenceRequest): number {
  let bytes = 0;
  for (const input of request.inputs) bytes += input.data.length;
  return bytes;
}

/** The refusal of a protocol feature that this build does not have. */
export function notSupported(feature: string): ServerError {
  return unsupported(`${feature} is not supported by this version of goodput`);
}
