import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { invalidArgument, unsupported, workerUrl } from '../../../../core/index.ts';
import type { ModelContext } from '../../contract.ts';

const PACKAGE = 'node-llama-cpp';

/** Where a clone of the server has the package. */
const OWN_FOLDER = new URL('../../../../../optional/llama/', import.meta.url);

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
  return {
    file: fileURLToPath(workerUrl(import.meta.url, 'definition')),
    parameters: { model_file: modelFile, llama_module: findPackage(backendConfig.get('module-directory')) },
  };
}

/** @returns the URL of the package's entry */
function findPackage(directory: string | undefined): string {
  const places = [
    ...(directory === undefined ? [] : [pathToFileURL(join(directory, 'x')).href]),
    pathToFileURL(join(process.cwd(), 'x')).href,
    import.meta.url,
    OWN_FOLDER.href,
  ];
  for (const place of places) {
    try {
      return pathToFileURL(createRequire(place).resolve(PACKAGE)).href;
    } catch {
      // It may be in the next place.
    }
  }
  throw unsupported(
    `GGUF models need the npm package ${PACKAGE}, which is not installed: npm install ${PACKAGE} (or name the folder that has it: --backend-config=llama,module-directory=DIR)`,
  );
}
