import { invalidArgument, type ServerError } from '../../core/index.ts';
import { type ModelFolder, readEnsembleConfig } from '../../repository/index.ts';
import { stepModels } from './ensemble-graph.ts';
import type { EngineOptions } from './options.ts';

/** The models that a model needs: the steps of an ensemble, nothing for every other one. */
export async function dependenciesOf(
  folder: ModelFolder,
  options: EngineOptions,
  configOverride?: string,
): Promise<readonly string[]> {
  try {
    const config = await readEnsembleConfig(folder, { configName: options.configName, configOverride });
    return config ? stepModels(config) : [];
  } catch {
    // What is wrong with the configuration is said when the model itself is loaded.
    return [];
  }
}

/**
 * Looks for a way from an ensemble back to itself.
 * @throws INVALID_ARG in Triton's words
 */
export async function rejectCycle(
  name: string,
  dependencies: (name: string) => Promise<readonly string[]>,
): Promise<void> {
  const seen = new Set<string>();
  const open: string[] = [name];
  for (let next = open.pop(); next !== undefined; next = open.pop()) {
    for (const needed of await dependencies(next)) {
      if (needed === name) throw cycle(name, next);
      if (seen.has(needed)) continue;
      seen.add(needed);
      open.push(needed);
    }
  }
}

function cycle(name: string, last: string): ServerError {
  return invalidArgument(
    `load failed for model '${name}': circular dependency between ensembles: ${name} -> ... -> ${last} -> ${name}`,
  );
}
