// npm run bench: side-by-side benchmarks; see bench/main.ts for what it takes.
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { pinnedNode, ROOT, step, works } from './lib.mjs';
import { setupPackages } from './setup.mjs';

setupPackages();
if (!works('h2load', ['--version']) || !works('taskset', ['--version'])) {
  step('the benchmarks need h2load and taskset: apt-get install -y nghttp2-client util-linux');
  process.exit(1);
}
const child = spawn(pinnedNode(), [join(ROOT, 'bench', 'main.ts'), ...process.argv.slice(2)], { stdio: 'inherit' });
child.on('exit', (code) => process.exit(code ?? 1));
