import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const path = (relative: string): string => fileURLToPath(new URL(relative, import.meta.url));
export const PYTHON = path('../../.cache/venv/bin/python');

/** Runs one test of a Python test file. */
export function pythonTest(
  file: string,
  name: string,
  variables: Readonly<Record<string, string>>,
): Promise<{ readonly status: number; readonly output: string }> {
  const env = { ...process.env, ...variables };
  return new Promise((resolve) => {
    execFile(PYTHON, [path(`../python/${file}`), name], { env, timeout: 120_000 }, (error, stdout, stderr) => {
      resolve({ status: error ? 1 : 0, output: `${stdout}${stderr}` });
    });
  });
}
