// npm run bench: side-by-side benchmarks; see bench/main.ts for what it takes.
import { runSource, step, works } from './lib.mjs';
import { pythonPath, setupLanguageModel, setupPackages, setupPython } from './setup.mjs';

setupPackages();
setupPython();
setupLanguageModel();
if (!works('h2load', ['--version']) || !works('taskset', ['--version'])) {
  step('the benchmarks need h2load and taskset: apt-get install -y nghttp2-client util-linux');
  process.exit(1);
}
runSource('bench/main.ts', { GOODPUT_PYTHON: pythonPath() });
