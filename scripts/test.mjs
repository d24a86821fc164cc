// npm test: installs everything the tests need, then runs them all under the pinned Node.
//   npm test -- PATTERN   only the files whose path contains PATTERN
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { fetchModels } from './fetch-models.mjs';
import { pinnedNode, ROOT } from './lib.mjs';
import { setupPackages, setupPython } from './setup.mjs';
import { setupTestTools } from './test-tools.mjs';

setupPackages();
fetchModels();
setupPython();
const missing = setupTestTools();
const child = spawn(pinnedNode(), [join(ROOT, 'scripts', 'run-tests.ts'), ...process.argv.slice(2)], {
  cwd: ROOT,
  stdio: 'inherit',
  env: { ...process.env, GOODPUT_MISSING_TOOLS: missing.join(',') },
});
child.on('exit', (code) => process.exit(code ?? 1));
