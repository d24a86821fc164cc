import { errorMessage, invalidArgument, notFound, ServerError } from '../../core/index.ts';
import { stepModels } from './ensemble-graph.ts';
import type { ModelFolder } from '../../repository/index.ts';
import type { LoadedModel } from './loaded-model.ts';
import { chooseVersion, type TrafficSplit } from './traffic.ts';

/** The state of one version of a model. */
export type VersionState =
  | { readonly kind: 'loading' }
  | { readonly kind: 'ready'; readonly model: LoadedModel }
  | { readonly kind: 'draining' }
  | { readonly kind: 'failed'; readonly reason: string }
  | { readonly kind: 'unloaded'; readonly reason: string };

/** A row of the repository index. */
export interface IndexEntry {
  readonly name: string;
  readonly version: string | undefined;
  readonly state: string | undefined;
  readonly reason: string | undefined;
}

/** Triton's words for a name that several repositories have. */
const DUPLICATE = 'model appears in two or more repositories';

const SEPARATOR = '\0';

/**
 * All models the server knows of, and the one place that says which version answers. Models are kept under keys: their
 * names, or with namespacing the repository and the name.
 */
export class ModelRegistry {
  private readonly namespacing: boolean;
  private readonly splits = new Map<string, TrafficSplit>();
  private readonly models = new Map<string, Map<number, VersionState>>();
  /** Failures before any version was known. */
  private readonly failures = new Map<string, string>();

  constructor(namespacing = false) {
    this.namespacing = namespacing;
  }

  keyOf(folder: Pick<ModelFolder, 'name' | 'repository'>): string {
    return this.namespacing ? `${folder.repository}${SEPARATOR}${folder.name}` : folder.name;
  }

  nameOf(key: string): string {
    return key.slice(key.indexOf(SEPARATOR) + 1);
  }

  /**
   * The key of the model that a client means by a name.
   * @throws INVALID_ARG when several repositories have a model of that name
   */
  keyFor(name: string): string {
    if (!this.namespacing) return name;
    const keys = this.all().filter((key) => this.nameOf(key) === name);
    if (keys.length > 1) {
      throw invalidArgument(
        `There are ${keys.length} identifiers of model '${name}' in global map, model namespace must be provided to resolve ambiguity.`,
      );
    }
    return keys[0] ?? name;
  }

  /** The model that a model of some folder means by a name: one of its own repository comes first. */
  private keyFrom(folder: ModelFolder, name: string): string {
    const own = this.keyOf({ name, repository: folder.repository });
    return this.models.has(own) ? own : this.keyFor(name);
  }

  hasReady(name: string, folder: ModelFolder, version = ''): boolean {
    const ready = this.readyVersions(this.keyFrom(folder, name));
    return version === '' ? ready.length > 0 : ready.some((model) => String(model.version) === version);
  }

  /** @throws as `resolve` does */
  resolveFrom(folder: ModelFolder, name: string, version: string): LoadedModel {
    return this.resolveKey(this.keyFrom(folder, name), name, version);
  }

  /** How requests without a version are shared out; `undefined` gives them all to the newest one. */
  setTraffic(key: string, split: TrafficSplit | undefined): void {
    if (split) this.splits.set(key, split);
    else this.splits.delete(key);
  }

  get hasTraffic(): boolean {
    return this.splits.size > 0;
  }

  traffic(key: string): TrafficSplit | undefined {
    return this.splits.get(key);
  }

  /** The keys of all models, also of those that failed. */
  all(): readonly string[] {
    return [...new Set([...this.models.keys(), ...this.failures.keys()])].toSorted();
  }

  versions(name: string): ReadonlyMap<number, VersionState> {
    return this.models.get(name) ?? new Map();
  }

  set(name: string, version: number, state: VersionState): void {
    const versions = this.models.get(name) ?? new Map<number, VersionState>();
    versions.set(version, state);
    this.models.set(name, versions);
  }

  remove(name: string, version: number): void {
    this.models.get(name)?.delete(version);
  }

  setFailure(name: string, error: unknown): void {
    this.failures.set(name, errorMessage(error));
  }

  clearFailure(name: string): void {
    this.failures.delete(name);
  }

  failure(name: string): string | undefined {
    return this.failures.get(name);
  }

  /** Ready models whose steps include a model. */
  ensemblesOver(name: string): readonly LoadedModel[] {
    return this.all().flatMap((key) =>
      this.readyVersions(key).filter((model) => stepModels(model.config).includes(name)),
    );
  }

  readyVersions(name: string): readonly LoadedModel[] {
    const ready: LoadedModel[] = [];
    for (const state of this.versions(name).values()) if (state.kind === 'ready') ready.push(state.model);
    return ready.toSorted((a, b) => a.version - b.version);
  }

  allReady(): readonly LoadedModel[] {
    return [...this.models.keys()].toSorted().flatMap((name) => this.readyVersions(name));
  }

  /**
   * The model that answers to a name and version; no version means the highest that is ready, or what the traffic split
   * says. `NAME:VERSION` addresses a version too, unless a model has that very name.
   * @param stickiness requests with the same text get the same version out of a split
   * @throws NOT_FOUND in Triton's words
   */
  resolve(name: string, version: string, stickiness?: string): LoadedModel {
    return this.resolveKey(this.keyFor(name), name, version, stickiness);
  }

  private resolveKey(key: string, name: string, version: string, stickiness?: string): LoadedModel {
    const versions = this.models.get(key);
    if (!versions) {
      const colon = name.lastIndexOf(':');
      if (version === '' && colon > 0 && /^[1-9]\d*$/.test(name.slice(colon + 1))) {
        const plain = this.keyFor(name.slice(0, colon));
        if (this.models.has(plain)) return this.resolveKey(plain, name.slice(0, colon), name.slice(colon + 1));
      }
      throw notFound(`Request for unknown model: '${name}' is not found`);
    }
    if (version === '') {
      const split = this.splits.get(key);
      const latest = (split && chooseVersion(split, versions, stickiness)) ?? latestReady(versions);
      if (!latest) throw notFound(`Request for unknown model: '${name}' has no available versions`);
      return latest;
    }
    const state = versions.get(parseVersion(version));
    if (!state) throw notFound(`Request for unknown model: '${name}' version ${version} is not found`);
    if (state.kind !== 'ready') {
      throw new ServerError(
        'UNAVAILABLE',
        `Request for unknown model: '${name}' version ${version} is not at ready state`,
      );
    }
    return state.model;
  }

  isReady(name: string, version: string): boolean {
    if (version !== '') parseVersion(version);
    try {
      return this.resolve(name, version).ready;
    } catch {
      return false;
    }
  }

  /**
   * @param known names in the repositories, loaded or not
   * @param duplicates names that more than one repository has
   */
  index(known: Iterable<string>, duplicates: readonly string[], readyOnly: boolean): readonly IndexEntry[] {
    const entries: IndexEntry[] = [];
    for (const key of [...new Set([...known, ...duplicates, ...this.all()])].toSorted()) {
      const name = this.nameOf(key);
      const versions = this.versions(key);
      const failure = duplicates.includes(key) ? DUPLICATE : this.failures.get(key);
      if (versions.size === 0 && !readyOnly) {
        entries.push(
          failure === undefined
            ? { name, version: undefined, state: undefined, reason: undefined }
            : { name, version: undefined, state: 'UNAVAILABLE', reason: failure },
        );
      }
      for (const [version, state] of [...versions].toSorted(([a], [b]) => a - b)) {
        if (readyOnly && state.kind !== 'ready') continue;
        entries.push({ name, version: String(version), ...describe(state) });
      }
    }
    return entries;
  }
}

function latestReady(versions: ReadonlyMap<number, VersionState>): LoadedModel | undefined {
  let latest: LoadedModel | undefined;
  for (const state of versions.values()) {
    if (state.kind === 'ready' && (!latest || state.model.version > latest.version)) latest = state.model;
  }
  return latest;
}

/** @throws INVALID_ARG for what is not a number, as Triton does */
export function parseVersion(text: string): number {
  if (/^\d+$/.test(text)) return Number(text);
  throw new ServerError(
    'INVALID_ARG',
    `failed to get model version from specified version string '${text}' (details: stol), version should be an integral value > 0`,
  );
}

function describe(state: VersionState): { readonly state: string; readonly reason: string | undefined } {
  switch (state.kind) {
    case 'loading':
      return { state: 'LOADING', reason: undefined };
    case 'ready':
      return { state: 'READY', reason: undefined };
    case 'draining':
      return { state: 'UNLOADING', reason: undefined };
    case 'failed':
    case 'unloaded':
      return { state: 'UNAVAILABLE', reason: state.reason };
    default:
      return state satisfies never;
  }
}
