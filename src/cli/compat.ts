import { chmodSync, mkdirSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { UsageError } from './flags.ts';

/** Names that scripts call, and the subcommand that answers to them. */
const COMPAT_NAMES: Readonly<Record<string, string>> = {
  tritonserver: 'tritonserver',
  'triton-server': 'tritonserver',
  perf_analyzer: 'perf_analyzer',
  'model-analyzer': 'model-analyzer',
  'genai-perf': 'genai-perf',
};

/** `goodput compat DIR`: writes a small script for each name into a folder that can be put on the PATH. */
export function compatCommand(argv: readonly string[]): number {
  const [folder, ...rest] = argv;
  if (folder === undefined || folder.startsWith('--') || rest.length > 0) {
    throw new UsageError('usage: goodput compat DIR');
  }
  mkdirSync(folder, { recursive: true });
  const main = fileURLToPath(import.meta.url).replace(/compat\.(ts|js)$/, 'main.$1');
  for (const [name, subcommand] of Object.entries(COMPAT_NAMES)) {
    const path = join(folder, name);
    writeFileSync(path, `#!/bin/sh\nexec ${quote(process.execPath)} ${quote(main)} ${subcommand} "$@"\n`);
    chmodSync(path, 0o755);
  }
  process.stdout.write(`Wrote ${Object.keys(COMPAT_NAMES).join(', ')} to ${resolve(folder)}\n`);
  process.stdout.write(`Put it on the PATH: export PATH=${quote(resolve(folder))}:$PATH\n`);
  return 0;
}

function quote(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}
