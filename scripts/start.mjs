// npm start: installs what is missing, serves examples/quickstart, sends real inputs through it, and keeps serving.
//   npm start -- --once   stop after the demonstration
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { fetchModels } from './fetch-models.mjs';
import { pinnedNode, ROOT } from './lib.mjs';
import { setupPackages, setupPython } from './setup.mjs';

setupPackages();
fetchModels();
setupPython();
const child = spawn(pinnedNode(), [join(ROOT, 'examples', 'demo', 'main.ts'), ...process.argv.slice(2)], {
  stdio: 'inherit',
});
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => child.kill(signal));
child.on('exit', (code, signal) => process.exit(code ?? (signal ? 1 : 0)));
