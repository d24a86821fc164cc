import { type Dirent } from 'node:fs';
import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { errorMessage, invalidArgument, notFound } from '../core/index.ts';
import { type ModelConfig } from '../protocol/index.ts';

/** A model folder in a repository. */
export interface ModelFolder {
  readonly name: string;
  readonly path: string;
  readonly repository: string;
}

/** The folders of all repositories; a name found in more than one of them is reported apart. */
export interface RepositoryScan {
  /** Every folder that can be served, in the order of the repositories. */
  readonly all: readonly ModelFolder[];
  readonly folders: ReadonlyMap<string, ModelFolder>;
  readonly duplicates: ReadonlyMap<string, readonly string[]>;
}

/**
 * Lists the model folders of every repository.
 * @param namespacing the same name may stand for a model in each repository
 * @throws INVALID_ARG when a repository cannot be read
 */
export async function scanRepositories(repositories: readonly string[], namespacing = false): Promise<RepositoryScan> {
  const all: ModelFolder[] = [];
  const folders = new Map<string, ModelFolder>();
  const places = new Map<string, string[]>();
  for (const repository of repositories) {
    for (const entry of await listRepository(repository)) {
      const path = join(repository, entry);
      places.set(entry, [...(places.get(entry) ?? []), path]);
      const folder: ModelFolder = { name: entry, path, repository };
      folders.set(entry, folder);
      all.push(folder);
    }
  }
  if (namespacing) return { all, folders, duplicates: new Map() };
  const duplicates = new Map([...places].filter(([, paths]) => paths.length > 1));
  for (const name of duplicates.keys()) folders.delete(name);
  return { all: [...folders.values()], folders, duplicates };
}

async function listRepository(repository: string): Promise<readonly string[]> {
  let entries: Dirent[];
  try {
    entries = await readdir(repository, { withFileTypes: true });
  } catch (error) {
    throw invalidArgument(`failed to stat file ${repository}: model repository cannot be read: ${errorMessage(error)}`);
  }
  const names: string[] = [];
  for (const entry of entries) {
    if (entry.name.startsWith('.')) continue;
    if (entry.isDirectory() || (entry.isSymbolicLink() && (await isDirectory(join(repository, entry.name))))) {
      names.push(entry.name);
    }
  }
  return names.toSorted();
}

/** A model name is the name of one folder: whatever could reach elsewhere is refused before a path is built. */
export function isSafeModelName(name: string): boolean {
  return name !== '' && name !== '.' && name !== '..' && !/[/\\\0]/.test(name) && name.length <= 255;
}

/** One model's folder, looked up afresh. */
export async function findModelFolder(repositories: readonly string[], name: string): Promise<ModelFolder> {
  if (!isSafeModelName(name)) throw invalidArgument(`invalid model name '${name}'`);
  const found: ModelFolder[] = [];
  for (const repository of repositories) {
    const path = join(repository, name);
    if (await isDirectory(path)) found.push({ name, path, repository });
  }
  const [only] = found;
  if (only === undefined) throw notFound(`model '${name}': model not found in any model repository`);
  if (found.length > 1) {
    throw invalidArgument(
      `failed to poll model '${name}': not unique across all model repositories: ${found.map((folder) => folder.path).join(', ')}`,
    );
  }
  return only;
}

async function isDirectory(path: string): Promise<boolean> {
  try {
    return (await stat(path)).isDirectory();
  } catch {
    return false;
  }
}

/** Version numbers among a model's sub-folders, ascending. Names with leading zeros or other characters do not count. */
export async function listVersions(modelPath: string): Promise<readonly number[]> {
  const entries = await readdir(modelPath, { withFileTypes: true });
  const versions: number[] = [];
  for (const entry of entries) {
    if (!/^[1-9]\d*$/.test(entry.name)) continue;
    const version = Number(entry.name);
    if (!Number.isSafeInteger(version)) continue;
    if (entry.isDirectory() || (await isDirectory(join(modelPath, entry.name)))) versions.push(version);
  }
  return versions.toSorted((a, b) => a - b);
}

/**
 * The versions that a policy wants served, of those that exist.
 * @throws INVALID_ARG when there are none
 */
export function selectVersions(config: ModelConfig, available: readonly number[]): readonly number[] {
  const chosen = chooseVersions(config, available);
  if (chosen.length === 0) {
    throw invalidArgument(`at least one version must be available under the version policy of model '${config.name}'`);
  }
  return chosen;
}

function chooseVersions(config: ModelConfig, available: readonly number[]): readonly number[] {
  const choice = config.versionPolicy?.policyChoice;
  switch (choice?.case) {
    case 'all':
      return available;
    case 'specific': {
      const wanted = new Set(choice.value.versions.map(Number));
      return available.filter((version) => wanted.has(version));
    }
    case 'latest':
      return available.slice(-Math.max(1, choice.value.numVersions));
    case undefined:
      return available.slice(-1);
    default:
      return choice satisfies never;
  }
}

/** A file's text, or `undefined` when there is no such file. */
export async function readTextIfPresent(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}
