import { join } from 'node:path';
import {
  describeError,
  errorMessage,
  internalError,
  invalidArgument,
  type Logger,
  toServerError,
} from '../../core/index.ts';
import { modelConfigToJson } from '../../protocol/index.ts';
import {
  findModelFolder,
  isSafeModelName,
  type ModelFolder,
  type ModelSource,
  readModelSource,
  scanRepositories,
} from '../../repository/index.ts';
import type { StepConfig } from '../schedulers/index.ts';
import { dependenciesOf, rejectCycle } from './dependencies.ts';
import { stepModels } from './ensemble-graph.ts';
import type { LoadOverride } from '../backends/contract.ts';
import { writeOverride } from './file-overrides.ts';
import { createKeyedLock, createLimiter } from './limit-concurrency.ts';
import type { LoadedModel } from './loaded-model.ts';
import { type LoadContext, loadModelVersion } from './load-version.ts';
import type { ModelRegistry } from './model-registry.ts';
import type { EngineOptions } from './options.ts';
import { fingerprint } from './repository-watch.ts';

/** What the loader takes from the engine. */
export type LoaderContext = Omit<LoadContext, 'findStep' | 'cachePrefix'>;

/**
 * Brings models in and out. A model is loaded beside its old self: only when every version has loaded do the new ones
 * take over; until then, and for good if one fails, the old ones serve. A version whose files and configuration are as
 * they were stays as it is.
 */
export class ModelLoader {
  private readonly context: LoaderContext;
  private readonly options: EngineOptions;
  private readonly registry: ModelRegistry;
  private readonly logger: Logger;
  private readonly lock = createKeyedLock();
  private readonly limit: ReturnType<typeof createLimiter>;
  private readonly draining = new Set<Promise<void>>();
  /** What each loaded version was made of: one that has not changed is kept when its model is loaded again. */
  private readonly origins = new WeakMap<LoadedModel, string>();
  /** Folders of models that came in a load request. */
  private readonly overrides = new Map<string, { remove(): Promise<void> }>();
  private generation = 0;

  constructor(context: LoaderContext, registry: ModelRegistry) {
    this.context = context;
    this.options = context.options;
    this.registry = registry;
    this.logger = this.options.logger;
    this.limit = createLimiter(Math.max(1, this.options.loadThreads));
  }

  /**
   * Loads or reloads a model from the repositories, or from what the request brought.
   * @throws INTERNAL with the reason; what was served before goes on being served
   */
  async load(name: string, override?: LoadOverride): Promise<void> {
    if (override?.files && override.config === undefined) {
      throw internalError(
        `failed to load '${name}', failed to poll from model repository: the load request brings files and no 'config', which a model that comes in a request needs`,
      );
    }
    await this.loadFolder(override?.files ? await this.place(name) : await this.find(name), override);
  }

  /** Where a model that comes in a request belongs: the repository that has its name, or the first one. */
  private async place(name: string): Promise<ModelFolder> {
    if (!isSafeModelName(name)) throw invalidArgument(`invalid model name '${name}'`);
    const [repository = ''] = this.options.repositories;
    return findModelFolder(this.options.repositories, name).catch(() => ({
      name,
      path: join(repository, name),
      repository,
    }));
  }

  /** Loads a model whose folder is known. */
  async loadFolder(folder: ModelFolder, override?: LoadOverride): Promise<void> {
    await this.lock(this.registry.keyOf(folder), async () => {
      if (!override?.files) {
        await this.replace(folder, override?.config);
        this.forgetOverride(folder.name);
        return;
      }
      const written = await writeOverride(folder.name, override.files);
      try {
        await this.replace({ ...written, repository: folder.repository }, override.config);
      } catch (error) {
        await written.remove();
        throw error;
      }
      this.forgetOverride(folder.name);
      this.overrides.set(folder.name, written);
    });
  }

  /**
   * Loads the steps of an ensemble that are not there, each with its own steps first.
   * @returns the models that were loaded
   * @throws INVALID_ARG when the ensemble needs itself
   */
  async loadSteps(name: string, override?: LoadOverride): Promise<readonly string[]> {
    const folder = await (override?.files ? this.place(name) : this.find(name));
    const needed = await dependenciesOf(folder, this.options, override?.config);
    if (needed.length === 0) return [];
    await rejectCycle(name, (model) => (model === name ? Promise.resolve(needed) : this.dependencies(model)));
    const loaded = await Promise.all(
      needed.map(async (step): Promise<readonly string[]> => {
        if (this.registry.hasReady(step, folder)) return [];
        try {
          const below = await this.loadSteps(step);
          await this.load(step);
          return [...below, step];
        } catch {
          // The ensemble itself says which models are missing.
          return [];
        }
      }),
    );
    return loaded.flat();
  }

  /** Loads every model of the repositories, ensembles after their steps; failures are kept in the registry and logged. */
  async loadAll(): Promise<void> {
    const scan = await scanRepositories(this.options.repositories, this.options.namespacing);
    for (const [name, paths] of scan.duplicates) {
      const reason = `failed to poll model '${name}': not unique across all model repositories: ${paths.join(', ')}`;
      this.logger.error(reason, { model: name });
      this.registry.setFailure(name, internalError(reason));
    }
    await this.loadInOrder(scan.all);
  }

  /** Loads folders at the same time, except that an ensemble waits for its steps. */
  async loadInOrder(folders: readonly ModelFolder[]): Promise<void> {
    const dependencies = new Map<string, readonly string[]>();
    const keys = new Map(folders.map((folder) => [this.registry.keyOf(folder), folder]));
    for (const [key, folder] of keys) dependencies.set(key, await dependenciesOf(folder, this.options));
    const started = new Map<string, Promise<void>>();
    const start = (key: string, folder: ModelFolder): Promise<void> => {
      const running = started.get(key);
      if (running) return running;
      const work = this.afterSteps(key, folder, dependencies, keys, start).catch((error: unknown) => {
        if (this.registry.versions(key).size === 0) this.registry.setFailure(key, error);
      });
      started.set(key, work);
      return work;
    };
    await Promise.all([...keys].map(([key, folder]) => start(key, folder)));
  }

  private async afterSteps(
    key: string,
    folder: ModelFolder,
    dependencies: ReadonlyMap<string, readonly string[]>,
    keys: ReadonlyMap<string, ModelFolder>,
    start: (key: string, folder: ModelFolder) => Promise<void>,
  ): Promise<void> {
    const needed = dependencies.get(key) ?? [];
    if (needed.length > 0) {
      const keyed = (name: string): string => this.registry.keyOf({ ...folder, name });
      await rejectCycle(folder.name, async (name) => dependencies.get(keyed(name)) ?? []).catch((error: unknown) => {
        this.logger.error(errorMessage(error), { model: folder.name });
        throw error;
      });
      const steps = needed.flatMap((name) => {
        const step = keys.get(keyed(name));
        return step ? [start(keyed(name), step)] : [];
      });
      await Promise.all(steps);
    }
    await this.loadFolder(folder);
  }

  /** Stops serving a model; requests that were accepted are still answered. Returns before they are. */
  unload(name: string): Promise<void> {
    return this.lock(name, async () => {
      for (const model of this.registry.readyVersions(name)) this.retire(name, model, 'unloaded');
      this.registry.clearFailure(name);
      this.forgetOverride(name);
    });
  }

  /** Resolves when every model that was taken out of service has been freed. */
  async settled(): Promise<void> {
    while (this.draining.size > 0) await Promise.all(this.draining);
  }

  /** The steps of an ensemble in the repositories; none for everything else. */
  async dependencies(name: string): Promise<readonly string[]> {
    try {
      return await dependenciesOf(await findModelFolder(this.options.repositories, name), this.options);
    } catch {
      return [];
    }
  }

  private async find(name: string): Promise<ModelFolder> {
    try {
      return await findModelFolder(this.options.repositories, name);
    } catch (error) {
      this.logger.error(`failed to load '${name}': ${errorMessage(error)}`, { model: name });
      throw internalError(`failed to load '${name}', failed to poll from model repository`);
    }
  }

  private forgetOverride(name: string): void {
    const folder = this.overrides.get(name);
    if (!folder) return;
    this.overrides.delete(name);
    // The model may still have files open: it goes first.
    void this.settled().then(() => folder.remove());
  }

  private async replace(folder: ModelFolder, configOverride: string | undefined): Promise<void> {
    const { name } = folder;
    const key = this.registry.keyOf(folder);
    const before = new Map(this.registry.readyVersions(key).map((model) => [model.version, model]));
    let loaded: readonly LoadedModel[];
    try {
      loaded = await this.loadVersions(folder, configOverride, before);
    } catch (error) {
      if (before.size === 0) this.registry.setFailure(key, error);
      throw toServerError(error);
    }
    this.registry.clearFailure(key);
    for (const model of loaded) this.registry.set(key, model.version, { kind: 'ready', model });
    for (const model of before.values()) {
      if (loaded.includes(model)) continue;
      if (loaded.some((fresh) => fresh.version === model.version)) this.drain(model);
      else this.retire(key, model, 'unloaded');
    }
    this.logger.info(`successfully loaded '${name}'`, { model: name });
  }

  private async loadVersions(
    folder: ModelFolder,
    configOverride: string | undefined,
    before: ReadonlyMap<number, LoadedModel>,
  ): Promise<readonly LoadedModel[]> {
    const { name } = folder;
    const key = this.registry.keyOf(folder);
    const read = (): Promise<ModelSource> => readModelSource(folder, { ...this.options, configOverride });
    let source: ModelSource;
    try {
      source = await read();
    } catch (error) {
      this.logger.error(`failed to load '${name}': ${errorMessage(error)}`, { model: name });
      throw internalError(`failed to load '${name}', failed to poll from model repository: ${errorMessage(error)}`);
    }
    for (const warning of source.warnings) this.logger.warn(warning, { model: name });
    const ensemble = stepModels(source.config).length > 0;
    if (ensemble) this.requireSteps(source);
    const described = modelConfigToJson(source.config) + JSON.stringify([...source.labels]);
    const outcomes = await Promise.allSettled(
      source.versions.map(async (version, index) => {
        const origin = `${described}\n${await fingerprint(join(folder.path, String(version)))}`;
        const existing = before.get(version);
        // An ensemble depends on more than its own files.
        if (existing && !ensemble && this.origins.get(existing) === origin) return existing;
        // Each version completes a configuration of its own.
        const own = index === 0 ? source : await read();
        const model = await this.limit(() => this.loadOne(own, version, key, before.has(version)));
        this.origins.set(model, origin);
        return model;
      }),
    );
    const loaded = outcomes.flatMap((outcome) => (outcome.status === 'fulfilled' ? [outcome.value] : []));
    const reasons = outcomes.flatMap((outcome, index) =>
      outcome.status === 'rejected'
        ? [
            ensemble
              ? errorMessage(outcome.reason)
              : `version ${source.versions[index]} is at UNAVAILABLE state: ${describeError(outcome.reason)};`,
          ]
        : [],
    );
    if (reasons.length === 0) return loaded;
    // One version that fails stops the load as a whole: those that did load are taken out again.
    for (const model of loaded) {
      if (before.get(model.version) === model) continue;
      if (before.has(model.version)) this.drain(model);
      else this.retire(key, model, 'unloaded');
    }
    throw invalidArgument(`load failed for model '${name}': ${reasons.join(' ')}`);
  }

  /** @throws INVALID_ARG naming the models that an ensemble needs and that are not there */
  private requireSteps({ config, folder }: ModelSource): void {
    const missing = stepModels(config).filter((step) => !this.registry.hasReady(step, folder));
    if (missing.length === 0) return;
    const reason = `load failed for model '${config.name}': ensemble ${config.name} contains models that are not available or ambiguous: ${missing.join(', ')}`;
    this.logger.error(reason, { model: config.name });
    throw invalidArgument(reason);
  }

  private async loadOne(source: ModelSource, version: number, key: string, replaces: boolean): Promise<LoadedModel> {
    const { name } = source.config;
    const fields = { model: name, version };
    this.logger.verbose(1, `loading: ${name}:${version}`, fields);
    if (!replaces) this.registry.set(key, version, { kind: 'loading' });
    const start = this.options.clock.now();
    for (let retries = this.options.loadRetries; ; retries--) {
      try {
        const model = await loadModelVersion(source, version, this.contextFor(source, version));
        const seconds = (this.options.clock.now() - start) / 1e9;
        this.logger.verbose(1, `loaded ${name}:${version} in ${seconds.toFixed(3)} s`, fields);
        return model;
      } catch (error) {
        const reason = describeError(error);
        this.logger.error(`failed to load '${name}' version ${version}: ${reason}`, fields);
        if (retries > 0) continue;
        if (!replaces) this.registry.set(key, version, { kind: 'failed', reason });
        throw error;
      }
    }
  }

  private contextFor(source: ModelSource, version: number): LoadContext {
    const { config, folder } = source;
    return {
      ...this.context,
      findStep: (step) => this.findStep(step, source),
      cachePrefix: `${this.placeOf(folder)}\0${config.name}\0${version}\0${modelConfigToJson(config)}`,
    };
  }

  /** A cache that servers share must not tell their folders apart; one of our own forgets with each load. */
  private placeOf(folder: ModelFolder): string {
    return this.options.sharedCache ? '' : `${folder.path}\0${++this.generation}`;
  }

  private findStep(step: StepConfig, { config, folder }: ModelSource): LoadedModel {
    const { model, version } = step;
    if (version !== '' && !this.registry.hasReady(model, folder, version)) {
      throw invalidArgument(
        `ensemble '${config.name}' depends on '${model}' whose required version ${version} is not loaded.`,
      );
    }
    return this.registry.resolveFrom(folder, model, version);
  }

  /** Takes a version out of service and frees it once its requests are answered. */
  private retire(key: string, model: LoadedModel, reason: string): void {
    this.registry.set(key, model.version, { kind: 'draining' });
    this.drain(model, () => {
      if (this.registry.versions(key).get(model.version)?.kind === 'draining') {
        this.registry.set(key, model.version, { kind: 'unloaded', reason });
      }
    });
  }

  private drain(model: LoadedModel, then?: () => void): void {
    const fields = { model: model.name, version: model.version };
    const work = model
      .drain()
      .catch((error: unknown) => this.logger.error(`failed to unload '${model.name}': ${errorMessage(error)}`, fields))
      .then(() => {
        then?.();
        this.logger.verbose(1, `successfully unloaded '${model.name}' version ${model.version}`, fields);
      })
      .finally(() => this.draining.delete(work));
    this.draining.add(work);
  }
}
