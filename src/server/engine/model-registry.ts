import { errorMessage, notFound, ServerError } from '../../core/index.ts';
import type { LoadedModel } from './loaded-model.ts';

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

/** All models the server knows of, and the one place that says which version answers. */
export class ModelRegistry {
  private readonly models = new Map<string, Map<number, VersionState>>();
  /** Failures before any version was known. */
  private readonly failures = new Map<string, string>();

  names(): readonly string[] {
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

  readyVersions(name: string): readonly LoadedModel[] {
    const ready: LoadedModel[] = [];
    for (const state of this.versions(name).values()) if (state.kind === 'ready') ready.push(state.model);
    return ready.toSorted((a, b) => a.version - b.version);
  }

  allReady(): readonly LoadedModel[] {
    return [...this.models.keys()].toSorted().flatMap((name) => this.readyVersions(name));
  }

  /**
   * The model that answers to a name and version; no version means the highest that is ready. `NAME:VERSION` addresses
   * a version too, unless a model has that very name.
   * @throws NOT_FOUND in Triton's words
   */
  resolve(name: string, version: string): LoadedModel {
    const versions = this.models.get(name);
    if (!versions) {
      const colon = name.lastIndexOf(':');
      if (
        version === '' &&
        colon > 0 &&
        /^[1-9]\d*$/.test(name.slice(colon + 1)) &&
        this.models.has(name.slice(0, colon))
      ) {
        return this.resolve(name.slice(0, colon), name.slice(colon + 1));
      }
      throw notFound(`Request for unknown model: '${name}' is not found`);
    }
    if (version === '') {
      const latest = latestReady(versions);
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
      this.resolve(name, version);
      return true;
    } catch {
      return false;
    }
  }

  index(known: Iterable<string>, readyOnly: boolean): readonly IndexEntry[] {
    const entries: IndexEntry[] = [];
    for (const name of [...new Set([...known, ...this.names()])].toSorted()) {
      const versions = this.versions(name);
      const failure = this.failures.get(name);
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
