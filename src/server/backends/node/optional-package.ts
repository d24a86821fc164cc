import { createRequire } from 'node:module';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { unsupported } from '../../../core/index.ts';

/**
 * Finds an npm package that most servers do not need: in the folder that `--backend-config=BACKEND,module-directory=DIR`
 * names, from the current folder, from the server's own, or in the folder of a clone that is for it.
 * @param what needs it, for the message
 * @returns the URL of its entry
 * @throws UNSUPPORTED when it is not installed, with the command that installs it
 */
export function findOptionalPackage(
  name: string,
  backend: string,
  what: string,
  directory: string | undefined,
): string {
  const places = [
    ...(directory === undefined ? [] : [pathToFileURL(join(directory, 'x')).href]),
    pathToFileURL(join(process.cwd(), 'x')).href,
    import.meta.url,
    new URL(`../../../../optional/${backend}/`, import.meta.url).href,
  ];
  for (const place of places) {
    try {
      return pathToFileURL(createRequire(place).resolve(name)).href;
    } catch {
      // It may be in the next place.
    }
  }
  throw unsupported(
    `${what} need the npm package ${name}, which is not installed: npm install ${name} (or name the folder that has it: --backend-config=${backend},module-directory=DIR)`,
  );
}
