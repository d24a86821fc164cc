// Shared by the set-up scripts. Runs on Node 20: plain JavaScript, no dependencies.
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const ROOT = dirname(dirname(fileURLToPath(import.meta.url)));
export const CACHE = join(ROOT, '.cache');

export function step(text) {
  process.stderr.write(`goodput: ${text}\n`);
}

/** Runs a command, shows its output only when it fails, and stops with its status then. */
export function run(command, args, options = {}) {
  const result = spawnSync(command, args, { cwd: ROOT, encoding: 'utf8', maxBuffer: 2 ** 28, ...options });
  if (result.status === 0) return result.stdout ?? '';
  process.stderr.write(`${result.stdout ?? ''}${result.stderr ?? ''}`);
  step(`failed: ${command} ${args.join(' ')}${result.error ? ` (${result.error.message})` : ''}`);
  process.exit(1);
}

export function works(command, args) {
  return spawnSync(command, args, { stdio: 'ignore' }).status === 0;
}

/** The Node that package.json pins, if a package for this machine brought it; else the one running now. */
export function pinnedNode() {
  const modules = join(ROOT, 'node_modules');
  if (existsSync(modules)) {
    for (const name of readdirSync(modules)) {
      const binary = join(modules, name, 'bin', 'node');
      if (/^node-(bin-)?(linux|darwin)-/.test(name) && existsSync(binary)) return binary;
    }
  }
  return process.execPath;
}

/** Runs a source file under the pinned Node with this script's arguments, passes signals on, exits as it does. */
export function runSource(file, env = {}) {
  const child = spawn(pinnedNode(), [join(ROOT, file), ...process.argv.slice(2)], {
    cwd: ROOT,
    stdio: 'inherit',
    env: { ...process.env, ...env },
  });
  for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => child.kill(signal));
  child.on('exit', (code) => process.exit(code ?? 1));
}

export function readJson(path) {
  return JSON.parse(readFileSync(path, 'utf8'));
}
