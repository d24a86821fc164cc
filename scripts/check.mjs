// npm run check: types, lint, formatting, dead code.
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { pinnedNode, ROOT } from './lib.mjs';
import { setupPackages } from './setup.mjs';

setupPackages();
const bin = (name) => join(ROOT, 'node_modules', '.bin', name);
const CHECKS = [
  ['types', bin('tsc'), ['--noEmit']],
  ['lint', bin('oxlint'), ['--type-aware', '--deny-warnings', 'src', 'test', 'scripts', 'examples', 'bench']],
  ['format', bin('oxfmt'), ['--check', 'src', 'test', 'scripts', 'examples', 'bench']],
  ['dead code', bin('knip'), []],
  ['reference', pinnedNode(), [join(ROOT, 'scripts', 'generate-docs.ts'), '--check']],
];
let failed = 0;
for (const [name, command, args] of CHECKS) {
  const { status } = spawnSync(command, args, { cwd: ROOT, stdio: 'inherit' });
  process.stdout.write(`${status === 0 ? 'ok' : 'FAILED'}: ${name}\n`);
  if (status !== 0) failed++;
}
process.exit(failed > 0 ? 1 : 0);
