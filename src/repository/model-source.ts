import { create } from '@bufbuild/protobuf';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { invalidArgument } from '../core/index.ts';
import { type ModelConfig, modelConfigFromJson, ModelConfigSchema } from '../protocol/index.ts';
import { type NormalizeOptions, normalizeConfig } from './normalize.ts';
import { parseModelConfig } from './pbtxt/index.ts';
import { backendOfFiles, platformOfBackend } from './platforms.ts';
import { validateScheduling } from './validate-scheduling.ts';
import { listVersions, type ModelFolder, readTextIfPresent, selectVersions } from './scan.ts';

/** A model as the repository describes it, before any backend has looked at it. */
export interface ModelSource {
  readonly folder: ModelFolder;
  readonly config: ModelConfig;
  /** Versions to serve, ascending. */
  readonly versions: readonly number[];
  readonly labels: ReadonlyMap<string, readonly string[]>;
  readonly warnings: readonly string[];
}

export interface SourceOptions extends NormalizeOptions {
  /** Derive what the configuration does not say from the model itself. */
  readonly autoComplete: boolean;
  /** Use `configs/NAME.pbtxt` in place of `config.pbtxt` where it exists. */
  readonly configName?: string | undefined;
  /** A whole configuration as JSON, in place of the file's. */
  readonly configOverride?: string | undefined;
}

/** Reads, normalizes and checks a model's configuration and the versions it selects. */
export async function readModelSource(folder: ModelFolder, options: SourceOptions): Promise<ModelSource> {
  const available = await listVersions(folder.path);
  const { config, warnings } = await readConfig(folder, options);
  if (config.name === '') config.name = folder.name;
  if (options.autoComplete) await completeBackend(folder, available, config);
  if (config.name !== folder.name) {
    throw invalidArgument(
      `unexpected directory name '${folder.name}' for model '${config.name}', directory name must equal model name`,
    );
  }
  const more = normalizeConfig(config, options);
  validateScheduling(config);
  rejectEscape(config.defaultModelFilename, 'default_model_filename', config.name);
  for (const filename of Object.values(config.ccModelFilenames))
    rejectEscape(filename, 'cc_model_filenames', config.name);
  return {
    folder,
    config,
    versions: selectVersions(config, available),
    labels: await readLabels(folder, config),
    warnings: [...warnings, ...more],
  };
}

/** The configuration of an ensemble; `undefined` for every other model, found out without looking at its files. */
export async function readEnsembleConfig(
  folder: ModelFolder,
  options: Pick<SourceOptions, 'configName' | 'configOverride'>,
): Promise<ModelConfig | undefined> {
  let config: ModelConfig | undefined;
  if (options.configOverride !== undefined) {
    config = modelConfigFromJson(options.configOverride);
  } else {
    for (const name of configFiles(options.configName)) {
      const text = await readTextIfPresent(join(folder.path, name));
      if (text === undefined) continue;
      if (text.includes('ensemble')) config = parseModelConfig(text, join(folder.path, name)).config;
      break;
    }
  }
  return config?.schedulingChoice.case === 'ensembleScheduling' ? config : undefined;
}

async function readConfig(
  folder: ModelFolder,
  options: SourceOptions,
): Promise<{ config: ModelConfig; warnings: readonly string[] }> {
  if (options.configOverride !== undefined) {
    return { config: modelConfigFromJson(options.configOverride), warnings: [] };
  }
  for (const name of configFiles(options.configName)) {
    const text = await readTextIfPresent(join(folder.path, name));
    if (text !== undefined) return parseModelConfig(text, join(folder.path, name));
  }
  if (!options.autoComplete) {
    throw invalidArgument(
      `failed to open text file for read ${join(folder.path, 'config.pbtxt')}: No such file or directory`,
    );
  }
  return { config: create(ModelConfigSchema), warnings: [] };
}

function configFiles(configName: string | undefined): readonly string[] {
  return configName === undefined ? ['config.pbtxt'] : [join('configs', `${configName}.pbtxt`), 'config.pbtxt'];
}

/** A model whose configuration names no backend, or that has none, is known by its file. */
async function completeBackend(folder: ModelFolder, versions: readonly number[], config: ModelConfig): Promise<void> {
  if (config.backend !== '' || config.platform !== '' || config.schedulingChoice.case === 'ensembleScheduling') return;
  for (const version of versions) {
    const found = backendOfFiles(await readdir(join(folder.path, String(version))));
    if (!found) continue;
    config.backend = found.backend;
    config.platform = found.backend === 'python' ? '' : (platformOfBackend(found.backend) ?? '');
    return;
  }
  throw invalidArgument(
    `model '${folder.name}' names no backend, and no version folder has a model file that tells it (such as model.onnx)`,
  );
}

/** File names in a configuration stay inside the version folder. */
function rejectEscape(filename: string, field: string, model: string): void {
  if (filename.startsWith('/') || filename.split(/[/\\]/).includes('..') || filename.includes('\0')) {
    throw invalidArgument(`${field} '${filename}' of model '${model}' must stay inside the version folder`);
  }
}

async function readLabels(folder: ModelFolder, config: ModelConfig): Promise<ReadonlyMap<string, readonly string[]>> {
  const labels = new Map<string, readonly string[]>();
  for (const output of config.output) {
    if (output.labelFilename === '') continue;
    rejectEscape(output.labelFilename, 'label_filename', config.name);
    const text = await readTextIfPresent(join(folder.path, output.labelFilename));
    if (text === undefined) {
      throw invalidArgument(
        `label file '${output.labelFilename}' of output '${output.name}' of model '${config.name}' does not exist`,
      );
    }
    const lines = text.split(/\r?\n/);
    if (lines.at(-1) === '') lines.pop();
    labels.set(output.name, lines);
  }
  return labels;
}
