import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { invalidArgument, workerUrl } from '../../../../core/index.ts';
import type { ModelContext } from '../../contract.ts';
import { findOptionalPackage } from '../optional-package.ts';

/** What is imported; the kernels register themselves with the core. */
const PACKAGES = {
  core: '@tensorflow/tfjs-core',
  converter: '@tensorflow/tfjs-converter',
  kernels: '@tensorflow/tfjs-backend-cpu',
} as const;

/**
 * How a TensorFlow.js graph model is served: by `definition.ts` beside this file, with the packages that are installed.
 * @throws UNSUPPORTED when one is not installed, INVALID_ARG when there is no model file
 */
export function tfjsSource({ config, versionPath, backendConfig }: ModelContext): {
  readonly file: string;
  readonly parameters: Readonly<Record<string, string>>;
} {
  const filename = config.defaultModelFilename || 'model.json';
  const modelFile = join(versionPath, filename);
  if (!existsSync(modelFile)) {
    throw invalidArgument(`model file '${filename}' of model '${config.name}' does not exist in '${versionPath}'`);
  }
  const directory = backendConfig.get('module-directory');
  const found = Object.entries(PACKAGES).map(([key, name]) => [
    `tfjs_${key}`,
    findOptionalPackage(name, 'tfjs', 'TensorFlow.js models', directory),
  ]);
  return {
    file: fileURLToPath(workerUrl(import.meta.url, 'definition')),
    parameters: {
      ...(Object.fromEntries(found) as Record<string, string>),
      model_file: modelFile,
      max_batch_size: String(config.maxBatchSize),
    },
  };
}
