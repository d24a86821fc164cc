import { join } from 'node:path';
import {
  describeError,
  errorMessage,
  internalError,
  invalidArgument,
  type Logger,
  toServerError,
} from '../../core/index.ts';
import {
  findModelFolder,
  type ModelFolder,
  type ModelSource,
  readModelSource,
  scanRepositories,
} from '../../repository/index.ts';
import type { Backend } from '../backends/contract.ts';
import { modelConfigToJson } from '../../protocol/index.ts';
import { createKeyedLock, createLimiter } from './limit-concurrency.ts';
import { type LoadedModel, loadModelVersion } from './loaded-model.ts';
import type { ModelRegistry } from './model-registry.ts';
import type { EngineOptions } from './options.ts';
import { fingerprint } from './repository-watch.ts';

/**
 * Brings models in and out. A model is loaded beside its old self: only when every version has loaded do the new ones
 * take over; until then, and for good if one fails, the old ones serve. A version whose files and configuration are as
 * they were stays as it is.
 */
export class ModelLoader {
  private readonly options: EngineOptions;
  private readonly registry: ModelRegistry;
  private readonly backends: ReadonlyMap<string, Backend>;
  private readonly logger: Logger;
  private readonly lock = createKeyedLock();
  private readonly limit: ReturnType<typeof createLimiter>;
  private readonly draining = new Set<Promise<void>>();
  /** What each loaded version was made of: one that has not changed is kept when its model is loaded again. */
  private readonly origins = new WeakMap<LoadedModel, string>();

  constructor(options: EngineOptions, registry: ModelRegistry, backends: ReadonlyMap<string, Backend>) {
    this.options = options;
    this.registry = registry;
    this.backends = backends;
    this.logger = options.logger;
    this.limit = createLimiter(Math.max(1, options.loadThreads));
  }

  /**
   * Loads or reloads a model from the repositories.
   * @param configOverride a whole configuration as JSON in place of the file's
   * @throws INTERNAL with the reason; what was served before goes on being served
   */
  load(name: string, configOverride?: string): Promise<void> {
    return this.lock(name, async () => {
      let folder: ModelFolder;
      try {
        folder = await findModelFolder(this.options.repositories, name);
      } catch (error) {
        this.logger.error(`failed to load '${name}': ${errorMessage(error)}`, { model: name });
        throw internalError(`failed to load '${name}', failed to poll from model repository`);
      }
      await this.replace(folder, configOverride);
    });
  }

  /** Loads every model of the repositories; failures are kept in the registry and logged. */
  async loadAll(): Promise<void> {
    const scan = await scanRepositories(this.options.repositories);
    for (const [name, paths] of scan.duplicates) {
      const reason = `failed to poll model '${name}': not unique across all model repositories: ${paths.join(', ')}`;
      this.logger.error(reason, { model: name });
      this.registry.setFailure(name, internalError(reason));
    }
    await Promise.all([...scan.folders.keys()].map((name) => this.load(name).catch(() => undefined)));
  }

  /** Stops serving a model; requests that were accepted are still answered. Returns before they are. */
  unload(name: string): Promise<void> {
    return this.lock(name, async () => {
      for (const model of this.registry.readyVersions(name)) this.retire(name, model, 'unloaded');
      this.registry.clearFailure(name);
    });
  }

  /** Resolves when every model that was taken out of service has been freed. */
  async settled(): Promise<void> {
    while (this.draining.size > 0) await Promise.all(this.draining);
  }

  private async replace(folder: ModelFolder, configOverride: string | undefined): Promise<void> {
    const { name } = folder;
    const before = new Map(this.registry.readyVersions(name).map((model) => [model.version, model]));
    let loaded: readonly LoadedModel[];
    try {
      loaded = await this.loadVersions(folder, configOverride, before);
    } catch (error) {
      if (before.size === 0) this.registry.setFailure(name, error);
      throw toServerError(error);
    }
    this.registry.clearFailure(name);
    for (const model of loaded) this.registry.set(name, model.version, { kind: 'ready', model });
    for (const model of before.values()) {
      if (loaded.includes(model)) continue;
      if (loaded.some((fresh) => fresh.version === model.version)) this.drain(model);
      else this.retire(name, model, 'unloaded');
    }
    this.logger.info(`successfully loaded '${name}'`, { model: name });
  }

  private async loadVersions(
    folder: ModelFolder,
    configOverride: string | undefined,
    before: ReadonlyMap<number, LoadedModel>,
  ): Promise<readonly LoadedModel[]> {
    const { name } = folder;
    const read = (): Promise<ModelSource> => readModelSource(folder, { ...this.options, configOverride });
    let source: ModelSource;
    try {
      source = await read();
    } catch (error) {
      this.logger.error(`failed to load '${name}': ${errorMessage(error)}`, { model: name });
      throw internalError(`failed to load '${name}', failed to poll from model repository: ${errorMessage(error)}`);
    }
    for (const warning of source.warnings) this.logger.warn(warning, { model: name });
    const described = modelConfigToJson(source.config) + JSON.stringify([...source.labels]);
    const outcomes = await Promise.allSettled(
      source.versions.map(async (version, index) => {
        const origin = `${described}\n${await fingerprint(join(folder.path, String(version)))}`;
        const existing = before.get(version);
        if (existing && this.origins.get(existing) === origin) return existing;
        // Each version completes a configuration of its own.
        const own = index === 0 ? source : await read();
        const model = await this.limit(() => this.loadOne(own, version, before.has(version)));
        this.origins.set(model, origin);
        return model;
      }),
    );
    const loaded = outcomes.flatMap((outcome) => (outcome.status === 'fulfilled' ? [outcome.value] : []));
    const reasons = outcomes.flatMap((outcome, index) =>
      outcome.status === 'rejected'
        ? [`version ${source.versions[index]} is at UNAVAILABLE state: ${describeError(outcome.reason)};`]
        : [],
    );
    if (reasons.length === 0) return loaded;
    // One version that fails stops the load as a whole: those that did load are taken out again.
    for (const model of loaded) {
      if (before.get(model.version) === model) continue;
      if (before.has(model.version)) this.drain(model);
      else this.retire(name, model, 'unloaded');
    }
    throw invalidArgument(`load failed for model '${name}': ${reasons.join(' ')}`);
  }

  private async loadOne(source: ModelSource, version: number, replaces: boolean): Promise<LoadedModel> {
    const { name } = source.config;
    this.logger.verbose(1, `loading: ${name}:${version}`, { model: name });
    if (!replaces) this.registry.set(name, version, { kind: 'loading' });
    const start = this.options.clock.now();
    try {
      const model = await loadModelVersion(source, version, this.backends, this.options);
      const seconds = (this.options.clock.now() - start) / 1e9;
      this.logger.verbose(1, `loaded ${name}:${version} in ${seconds.toFixed(3)} s`, { model: name });
      return model;
    } catch (error) {
      const reason = describeError(error);
      this.logger.error(`failed to load '${name}' version ${version}: ${reason}`, { model: name });
      if (!replaces) this.registry.set(name, version, { kind: 'failed', reason });
      throw error;
    }
  }

  /** Takes a version out of service and frees it once its requests are answered. */
  private retire(name: string, model: LoadedModel, reason: string): void {
    this.registry.set(name, model.version, { kind: 'draining' });
    this.drain(model, () => {
      if (this.registry.versions(name).get(model.version)?.kind === 'draining') {
        this.registry.set(name, model.version, { kind: 'unloaded', reason });
      }
    });
  }

  private drain(model: LoadedModel, then?: () => void): void {
    const work = model
      .drain()
      .catch((error: unknown) => this.logger.error(`failed to unload '${model.name}': ${errorMessage(error)}`))
      .then(() => {
        then?.();
        this.logger.verbose(1, `unloaded ${model.name}:${model.version}`, { model: model.name });
      })
      .finally(() => this.draining.delete(work));
    this.draining.add(work);
  }
}
