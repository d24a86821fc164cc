/** Runs the test files with Node's own runner and closes with one line of figures. */
import { globSync } from 'node:fs';
import { run } from 'node:test';
import { spec } from 'node:test/reporters';

const pattern = process.argv[2] ?? '';
const files = globSync(['src/**/*.test.ts', 'test/**/*.test.ts'])
  .filter((file) => file.includes(pattern))
  .toSorted();

let passed = 0;
let failed = 0;
let skipped = 0;
const failures: string[] = [];
const start = performance.now();

const stream = run({ files, concurrency: 2, timeout: 300_000 });
stream.on('test:pass', ({ skip, details }) => {
  if (details.type === 'suite') return;
  if (skip !== undefined && skip !== false) skipped++;
  else passed++;
});
stream.on('test:fail', ({ name, file, details }) => {
  if (details.type === 'suite') return;
  failed++;
  failures.push(`${file ?? ''}: ${name}`);
});
stream.compose(new spec()).pipe(process.stdout);
stream.on('end', () => {
  setTimeout(() => {
    for (const failure of failures) process.stdout.write(`failed: ${failure}\n`);
    process.stdout.write(`${files.length} files, ${((performance.now() - start) / 1000).toFixed(1)} s\n`);
    process.stdout.write(`${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ''}\n`);
    process.exitCode = failed > 0 || passed === 0 ? 1 : 0;
  }, 200);
});
