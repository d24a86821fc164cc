// What the tests need beside npm and Python packages: real servers and clients of other makers.
import { existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { CACHE, ROOT, run, step, works } from './lib.mjs';
import { pythonPath } from './setup.mjs';

/** Command, Debian package, and how to see that it is there. */
const SYSTEM_TOOLS = [
  { name: 'prometheus', package: 'prometheus', present: () => works('prometheus', ['--version']) },
  { name: 'redis', package: 'redis-server', present: () => works('redis-server', ['--version']) },
  { name: 'openssl', package: 'openssl', present: () => works('openssl', ['version']) },
  {
    name: 'torch',
    package: 'python3-torch',
    present: () => works('/usr/bin/python3', ['-c', 'import torch, numpy']),
  },
  { name: 'nghttp', package: 'nghttp2-client', present: () => works('nghttp', ['--version']) },
  { name: 'go', package: 'golang-go', present: () => works('go', ['version']) },
  { name: 'curl', package: 'curl', present: () => works('curl', ['--version']) },
  { name: 'libb64', package: 'libb64-0d', present: () => works('sh', ['-c', 'ldconfig -p | grep -q libb64.so.0d']) },
];

const TENSORFLOW = 'tensorflow-cpu==2.21.0';

const SILERO = 'silero-vad==6.2.3';
const PERF_ANALYZER = ['tritonclient==2.50.0', 'nvidia-cuda-runtime-cu12==12.6.77'];

/** Installs what is missing where that is allowed; returns the names of what stays missing. */
export function setupTestTools() {
  const missing = SYSTEM_TOOLS.filter((tool) => !tool.present());
  if (missing.length > 0) installSystemTools(missing.map((tool) => tool.package));
  setupPerfAnalyzer();
  setupTensorflow();
  setupTorchScript();
  if (works('go', ['version'])) setupGoTools();
  return SYSTEM_TOOLS.filter((tool) => !tool.present()).map((tool) => tool.name);
}

function installSystemTools(packages) {
  const command = `apt-get install -y --no-install-recommends ${packages.join(' ')}`;
  const mayInstall = works('apt-get', ['--version']) && (process.getuid?.() === 0 || process.env.CI === 'true');
  if (!mayInstall) {
    step(`tests that need ${packages.join(', ')} are skipped; to have them: ${command}`);
    return;
  }
  step(`installing system packages for the tests: ${packages.join(' ')}`);
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
  run('apt-get', ['update', '-qq'], { env });
  run('apt-get', ['install', '-y', '-qq', '--no-install-recommends', ...packages], { env });
}

/** TensorFlow in an environment of its own: it is large, and wants its own NumPy. */
function setupTensorflow() {
  const folder = join(CACHE, 'tensorflow');
  if (existsSync(join(folder, '.ready'))) return;
  step('creating a Python environment with TensorFlow (1.6 GB)');
  rmSync(folder, { recursive: true, force: true });
  run('python3', ['-m', 'venv', folder]);
  run(join(folder, 'bin', 'python'), [
    '-m',
    'pip',
    'install',
    '--quiet',
    '--disable-pip-version-check',
    '--no-cache-dir',
    TENSORFLOW,
  ]);
  writeFileSync(join(folder, '.ready'), '');
}

/** h2spec, which tests HTTP/2 servers, and a gRPC client in Go: both built from `test/go`. */
function setupGoTools() {
  const folder = join(CACHE, 'go-tools');
  if (existsSync(join(folder, '.ready'))) return;
  step('building h2spec and a gRPC client in Go');
  mkdirSync(folder, { recursive: true });
  const programs = ['github.com/summerwind/h2spec/cmd/h2spec', './client'];
  run('go', ['build', '-o', `${folder}/`, ...programs], { cwd: join(ROOT, 'test', 'go') });
  writeFileSync(join(folder, '.ready'), '');
}

/** A real TorchScript model: Silero VAD, out of its wheel. */
function setupTorchScript() {
  const folder = join(CACHE, 'silero-vad');
  if (existsSync(join(folder, '.ready'))) return;
  step(`fetching ${SILERO}`);
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  const quiet = ['--quiet', '--disable-pip-version-check', '--no-deps'];
  run(pythonPath(), ['-m', 'pip', 'install', ...quiet, '--target', folder, SILERO]);
  writeFileSync(join(folder, '.ready'), '');
}

/** The perf_analyzer binary out of its wheel, with the CUDA runtime library it links to. */
function setupPerfAnalyzer() {
  const folder = join(CACHE, 'perf-analyzer');
  if (existsSync(join(folder, '.ready'))) return;
  step('fetching perf_analyzer 2.50.0');
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  run(pythonPath(), [
    '-m',
    'pip',
    'install',
    '--quiet',
    '--disable-pip-version-check',
    '--no-deps',
    '--target',
    folder,
    ...PERF_ANALYZER,
  ]);
  writeFileSync(join(folder, '.ready'), '');
}
