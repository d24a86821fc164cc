import { errorMessage, invalidArgument } from '../../core/index.ts';
import { stepModels } from './ensemble-graph.ts';
import type { LoadOverride } from '../backends/contract.ts';
import type { LoadedModel } from './loaded-model.ts';
import type { ModelLoader } from './model-loader.ts';
import type { ModelRegistry } from './model-registry.ts';
import type { EngineOptions } from './options.ts';
import { checkSplit } from './traffic.ts';

/**
 * Loads and unloads models on request, together with what depends on them: the steps of an ensemble come before it, an
 * ensemble goes when one of its steps goes and comes back when that step does.
 */
export class ModelControl {
  private readonly options: EngineOptions;
  private readonly registry: ModelRegistry;
  private readonly loader: ModelLoader;
  /** Models that were loaded only because an ensemble needs them. */
  private readonly implicit = new Set<string>();
  /** Ensembles that went because one of their steps did. */
  private readonly suspended = new Set<string>();

  constructor(options: EngineOptions, registry: ModelRegistry, loader: ModelLoader) {
    this.options = options;
    this.registry = registry;
    this.loader = loader;
  }

  /** @throws INTERNAL or INVALID_ARG with the reason */
  async load(name: string, override?: LoadOverride): Promise<void> {
    const steps = await this.loader.loadSteps(name, override);
    for (const step of steps) this.implicit.add(step);
    await this.loader.load(name, override);
    this.implicit.delete(name);
    this.suspended.delete(name);
    for (const loaded of [...steps, name]) await this.resume(loaded);
  }

  /** Loads what `--load-model` names; failures are kept for the index. */
  async loadAtStart(names: readonly string[]): Promise<void> {
    if (names.length === 1 && names[0] === '*') {
      await this.loader.loadAll();
      return;
    }
    await Promise.all(
      names.map((name) =>
        this.load(name).catch((error: unknown) => {
          if (this.registry.versions(name).size === 0) this.registry.setFailure(name, error);
        }),
      ),
    );
  }

  /**
   * Takes a model out of service, after the ensembles over it.
   * @param withSteps an ensemble's steps go too, unless they were loaded by name or another ensemble needs them
   */
  async unload(name: string, withSteps = false): Promise<void> {
    this.suspended.delete(name);
    const key = this.registry.keyFor(name);
    const steps = this.registry.readyVersions(key).flatMap((model) => stepModels(model.config));
    await this.suspendOver(name);
    await this.loader.unload(key);
    this.implicit.delete(name);
    if (!withSteps) return;
    await this.loader.settled();
    for (const step of new Set(steps)) {
      if (this.implicit.has(step) && this.registry.ensemblesOver(step).length === 0) await this.unload(step, true);
    }
  }

  /** Takes everything out of service: what asks other models first, ensembles before all, so that it can still finish. */
  async unloadAll(): Promise<void> {
    const keys = this.registry.all();
    const having = (check: (model: LoadedModel) => boolean): readonly string[] =>
      keys.filter((key) => this.registry.readyVersions(key).some(check));
    for (const group of [having((model) => model.ensemble), having((model) => model.asksModels), keys]) {
      await Promise.all(group.map((key) => this.loader.unload(key)));
      await this.loader.settled();
    }
  }

  /**
   * Shares the requests for a model that name no version out between versions.
   * @param percent by version; empty gives them all to the newest one again
   * @throws INVALID_ARG for shares that do not add up, or a version that is not ready
   */
  setTraffic(name: string, percent: ReadonlyMap<number, number>, stickyHeader: string | undefined): void {
    const key = this.registry.keyFor(name);
    if (percent.size === 0) {
      this.registry.setTraffic(key, undefined);
      return;
    }
    checkSplit(name, percent);
    const ready = new Set(this.registry.readyVersions(key).map((model) => model.version));
    for (const version of percent.keys()) {
      if (ready.has(version)) continue;
      throw invalidArgument(
        `traffic of model '${name}': version ${version} is not ready; ready are ${[...ready].join(', ') || 'none'}`,
      );
    }
    this.registry.setTraffic(key, { percent, stickyHeader: stickyHeader?.toLowerCase(), random: this.options.random });
  }

  private async suspendOver(name: string): Promise<void> {
    const above = [...new Set(this.registry.ensemblesOver(name).map((model) => model.name))];
    for (const ensemble of above) {
      await this.suspendOver(ensemble);
      this.suspended.add(ensemble);
      await this.loader.unload(this.registry.keyFor(ensemble));
    }
    // What runs in the ensembles may still need the model.
    if (above.length > 0) await this.loader.settled();
  }

  /** Brings ensembles back that went with this model, or failed without it, where all their other steps are there. */
  private async resume(name: string): Promise<void> {
    for (const ensemble of new Set([...this.suspended, ...(await this.failedWithout(name))])) {
      if (ensemble === name) continue;
      try {
        await this.loader.load(ensemble);
        this.suspended.delete(ensemble);
        await this.resume(ensemble);
      } catch (error) {
        this.options.logger.verbose(1, `'${ensemble}' stays unloaded: ${errorMessage(error)}`, { model: ensemble });
      }
    }
  }

  private async failedWithout(name: string): Promise<readonly string[]> {
    const failed = this.registry.all().filter((key) => this.registry.failure(key) !== undefined);
    const names = failed.map((key) => this.registry.nameOf(key));
    const needs = await Promise.all(names.map((ensemble) => this.loader.dependencies(ensemble)));
    return names.filter((_, index) => needs[index]?.includes(name));
  }
}
