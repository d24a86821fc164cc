// Installs what a clone needs: npm packages, and the models of the examples.
//   node scripts/setup.mjs            packages
//   node scripts/setup.mjs --models   and the example models
//   node scripts/setup.mjs --python   and a Python environment with tritonclient
import { existsSync, mkdirSync, realpathSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { fetchModels } from './fetch-models.mjs';
import { CACHE, pinnedNode, ROOT, run, step, works } from './lib.mjs';

const OLDEST_NODE = 20;

/** Sources are TypeScript, which older versions do not run. */
const OLDEST_SOURCE_NODE = 24;
const marker = join(ROOT, 'node_modules', '.goodput-setup');

/** Packages of the Python environment for the examples and tests. */
const PYTHON_PACKAGES = ['tritonclient[all]==2.73.0', 'numpy==1.26.4'];

export function setupPackages() {
  const major = Number(process.versions.node.split('.')[0]);
  if (major < OLDEST_NODE) {
    step(`Node ${OLDEST_NODE} or newer is needed, this is ${process.version}`);
    process.exit(1);
  }
  const lock = join(ROOT, 'package-lock.json');
  if (existsSync(marker) && statSync(marker).mtimeMs >= statSync(lock).mtimeMs) return;
  step('installing npm packages (about a minute the first time)');
  run('npm', ['ci', '--no-audit', '--no-fund', '--loglevel=error']);
  const runtime = pinnedNode();
  if (runtime === process.execPath && major < OLDEST_SOURCE_NODE) {
    step(
      `no pinned Node is published for ${process.platform}-${process.arch}: install Node ${OLDEST_SOURCE_NODE} or newer to run from a clone`,
    );
    process.exit(1);
  }
  writeFileSync(marker, runtime);
}

export function pythonPath() {
  return join(CACHE, 'venv', 'bin', 'python');
}

export function setupPython() {
  const done = join(CACHE, 'venv', '.ready');
  if (existsSync(done)) return;
  if (!works('python3', ['--version'])) {
    step('python3 is needed for the example clients and the tests');
    process.exit(1);
  }
  step('creating a Python environment with tritonclient');
  rmSync(join(CACHE, 'venv'), { recursive: true, force: true });
  mkdirSync(CACHE, { recursive: true });
  run('python3', ['-m', 'venv', join(CACHE, 'venv')]);
  run(pythonPath(), ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', ...PYTHON_PACKAGES]);
  writeFileSync(done, '');
}

if (process.argv[1] && realpathSync(process.argv[1]) === fileURLToPath(import.meta.url)) {
  setupPackages();
  if (process.argv.includes('--models')) fetchModels();
  if (process.argv.includes('--python')) setupPython();
}
