import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { errorMessage, internalError, invalidArgument, type Logger } from '../core/index.ts';
import type { Backend } from '../server/backends/contract.ts';
import { providePackageImports } from '../server/backends/package-imports.ts';
import { createPythonBackend } from '../server/backends/python/index.ts';

const ENTRIES = ['index.ts', 'index.js', 'index.mjs'] as const;
const PYTHON_ENTRY = 'model.py';

/** The npm package of a backend. */
export const PLUGIN_PREFIX = 'goodput-backend-';

/**
 * Finds backends outside the server: a folder of the backend's name in `--backend-directory`, with `index.ts`,
 * `index.js` or a `package.json`, or with a `model.py` that serves all models of the backend; else an npm package
 * `goodput-backend-NAME` that can be found from the current folder or from the server's. Each is loaded once.
 */
export function createPluginLoader(
  directory: string | undefined,
  logger: Logger,
): (name: string) => Promise<Backend | undefined> {
  const loaded = new Map<string, Promise<Backend | undefined>>();
  return (name) => {
    let plugin = loaded.get(name);
    if (!plugin) {
      plugin = load(name, directory, logger);
      loaded.set(name, plugin);
      // What failed may be there the next time.
      plugin.then(
        (backend) => backend ?? loaded.delete(name),
        () => loaded.delete(name),
      );
    }
    return plugin;
  };
}

async function load(name: string, directory: string | undefined, logger: Logger): Promise<Backend | undefined> {
  if (!/^[\w.-]+$/.test(name) || name.startsWith('.')) return undefined;
  const folder = directory === undefined ? undefined : resolve(directory, name);
  if (folder !== undefined && existsSync(join(folder, PYTHON_ENTRY))) {
    logger.info(`backend '${name}' is ${join(folder, PYTHON_ENTRY)}`);
    return createPythonBackend({ name, file: join(folder, PYTHON_ENTRY) });
  }
  const entry = (folder === undefined ? undefined : entryOf(folder)) ?? packageEntry(name);
  if (entry === undefined) return undefined;
  providePackageImports();
  let module: { readonly default?: unknown };
  try {
    module = await import(pathToFileURL(entry).href);
  } catch (error) {
    throw internalError(`backend '${name}' cannot be loaded from ${entry}: ${errorMessage(error)}`);
  }
  if (typeof module.default !== 'function') {
    throw invalidArgument(`backend '${name}': ${entry} must export a function that makes the backend as its default`);
  }
  const backend: unknown = await module.default();
  if (!isBackend(backend)) {
    throw invalidArgument(`backend '${name}': what ${entry} makes has no name, loadModel and Symbol.asyncDispose`);
  }
  logger.info(`backend '${name}' is ${entry}`);
  return backend;
}

function entryOf(folder: string): string | undefined {
  if (existsSync(join(folder, 'package.json'))) return resolveFrom(folder, folder);
  const entry = ENTRIES.find((file) => existsSync(join(folder, file)));
  return entry === undefined ? undefined : join(folder, entry);
}

function packageEntry(name: string): string | undefined {
  return (
    resolveFrom(join(process.cwd(), 'package.json'), PLUGIN_PREFIX + name) ??
    resolveFrom(import.meta.url, PLUGIN_PREFIX + name)
  );
}

function resolveFrom(from: string, specifier: string): string | undefined {
  try {
    return createRequire(from.startsWith('file:') ? from : pathToFileURL(join(from, 'x')).href).resolve(specifier);
  } catch {
    return undefined;
  }
}

function isBackend(value: unknown): value is Backend {
  if (typeof value !== 'object' || value === null) return false;
  const { name, loadModel } = value as Partial<Backend>;
  return typeof name === 'string' && typeof loadModel === 'function' && Symbol.asyncDispose in value;
}
