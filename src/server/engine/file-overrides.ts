import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join, resolve, sep } from 'node:path';
import { invalidArgument } from '../../core/index.ts';
import type { ModelFolder } from '../../repository/index.ts';

/** Bytes of files that one load request may bring. */
const MAX_OVERRIDE_BYTES = 2 ** 31;

/**
 * Writes the files of a load request to a folder of their own.
 * @throws INVALID_ARG when the configuration is missing, a path leaves the model's folder, or the files are too large
 */
export async function writeOverride(
  name: string,
  files: ReadonlyMap<string, Uint8Array>,
): Promise<ModelFolder & { remove(): Promise<void> }> {
  let bytes = 0;
  for (const content of files.values()) bytes += content.length;
  if (bytes > MAX_OVERRIDE_BYTES) {
    throw invalidArgument(`the files of the load request have ${bytes} bytes, at most ${MAX_OVERRIDE_BYTES} are taken`);
  }
  const root = await mkdtemp(join(tmpdir(), 'goodput-model-'));
  const path = join(root, name);
  const remove = (): Promise<void> => rm(root, { recursive: true, force: true });
  try {
    await mkdir(path);
    for (const [file, content] of files) {
      const target = resolve(path, file);
      if (file === '' || file.includes('\0') || !target.startsWith(path + sep)) {
        throw invalidArgument(
          `failed to load '${name}', file path 'file:${file}' must be relative and stay inside the model's folder`,
        );
      }
      await mkdir(dirname(target), { recursive: true });
      await writeFile(target, content);
    }
  } catch (error) {
    await remove();
    throw error;
  }
  return { name, path, repository: root, remove };
}
