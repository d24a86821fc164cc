import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { invalidArgument, workerUrl } from '../../../../core/index.ts';
import type { ModelContext } from '../../contract.ts';
import { findOptionalPackage } from '../optional-package.ts';

/**
 * How a GGUF model is served: by `definition.ts` beside this file, with the package that is installed.
 * @throws UNSUPPORTED when it is not installed, INVALID_ARG when there is no model file
 */
export function llamaSource({ config, versionPath, backendConfig }: ModelContext): {
  readonly file: string;
  readonly parameters: Readonly<Record<string, string>>;
} {
  const filename = config.defaultModelFilename || 'model.gguf';
  const modelFile = join(versionPath, filename);
  if (!existsSync(modelFile)) {
    throw invalidArgument(`model file '${filename}' of model '${config.name}' does not exist in '${versionPath}'`);
  }
  const directory = backendConfig.get('module-directory');
  return {
    file: fileURLToPath(workerUrl(import.meta.url, 'definition')),
    parameters: {
      model_file: modelFile,
      llama_module: findOptionalPackage('node-llama-cpp', 'llama', 'GGUF models', directory),
    },
  };
}
