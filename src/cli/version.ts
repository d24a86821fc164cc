import { readFileSync } from 'node:fs';

/** The version in the package's own `package.json`, two folders above this file in sources and in the package. */
export function packageVersion(): string {
  const text = readFileSync(new URL('../../package.json', import.meta.url), 'utf8');
  const { version } = JSON.parse(text) as { version: string };
  return version;
}
