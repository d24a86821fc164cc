// Installs what a clone needs: npm packages, and the models of the examples.
//   node scripts/setup.mjs            packages
//   node scripts/setup.mjs --models   and the example models
//   node scripts/setup.mjs --python   and a Python environment for Python models and clients
//   node scripts/setup.mjs --text     and the text pipeline
//   node scripts/setup.mjs --llm      and a language model with what runs it
//   node scripts/setup.mjs --tfjs     and TensorFlow.js
import { existsSync, mkdirSync, readFileSync, realpathSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { fetchLanguageModel, fetchModels, fetchTextPipeline } from './fetch-models.mjs';
import { CACHE, pinnedNode, ROOT, run, step, works } from './lib.mjs';

const OLDEST_NODE = 20;

/** Sources are TypeScript, which older versions do not run. */
const OLDEST_SOURCE_NODE = 24;
const marker = join(ROOT, 'node_modules', '.goodput-setup');

/** Packages of the Python environment for the examples and tests. */
const PYTHON_PACKAGES = ['tritonclient[all]==2.73.0', 'numpy==1.26.4', 'transformers==5.24.0', 'openai==3.57.0'];

/** The native part of node-llama-cpp for each platform; those with CUDA and Vulkan are left to those who want them. */
const LLAMA_BINARIES = {
  'linux-x64': 'linux-x64',
  'linux-arm64': 'linux-arm64',
  'darwin-arm64': 'mac-arm64-metal',
  'darwin-x64': 'mac-x64',
};
const LLAMA_VERSION = '3.22.1';

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
  const wanted = PYTHON_PACKAGES.join(' ');
  if (existsSync(done) && readFileSync(done, 'utf8') === wanted) return;
  if (!works('python3', ['--version'])) {
    step('python3 is needed for the example clients and the tests');
    process.exit(1);
  }
  step('creating a Python environment for models and clients');
  rmSync(join(CACHE, 'venv'), { recursive: true, force: true });
  mkdirSync(CACHE, { recursive: true });
  run('python3', ['-m', 'venv', join(CACHE, 'venv')]);
  run(pythonPath(), ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', ...PYTHON_PACKAGES]);
  writeFileSync(done, wanted);
}

/** The example models of texts, converted on the spot. */
export function setupTextPipeline() {
  return fetchTextPipeline((folder) => {
    run(pinnedNode(), [join(ROOT, 'examples/text-pipeline/convert.ts'), folder]);
  });
}

/** What the tfjs backend needs, in a folder of its own. */
export function setupTfjs() {
  const folder = join(ROOT, 'optional/tfjs');
  const done = join(folder, 'node_modules', '.goodput-setup');
  if (existsSync(done)) return;
  step('installing TensorFlow.js');
  run('npm', ['ci', '--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error'], { cwd: folder });
  writeFileSync(done, '');
}

/** What the llama backend needs, in a folder of its own, and a small language model. */
export function setupLanguageModel() {
  const folder = join(ROOT, 'optional/llama');
  const binary = LLAMA_BINARIES[`${process.platform}-${process.arch}`];
  const done = join(folder, 'node_modules', '.goodput-setup');
  if (!existsSync(done)) {
    step('installing node-llama-cpp');
    const quiet = ['--omit=optional', '--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error'];
    // Not `npm ci`: it insists on the optional packages, which are gigabytes of CUDA.
    const native = binary === undefined ? [] : [`@node-llama-cpp/${binary}@${LLAMA_VERSION}`];
    run('npm', ['install', '--no-save', ...quiet, ...native], { cwd: folder });
    writeFileSync(done, '');
  }
  fetchLanguageModel();
}

if (process.argv[1] && realpathSync(process.argv[1]) === fileURLToPath(import.meta.url)) {
  setupPackages();
  if (process.argv.includes('--models')) fetchModels();
  if (process.argv.includes('--python')) setupPython();
  if (process.argv.includes('--text')) {
    setupPython();
    setupTextPipeline();
  }
  if (process.argv.includes('--llm')) setupLanguageModel();
  if (process.argv.includes('--tfjs')) setupTfjs();
}
