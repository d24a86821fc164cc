// npm run build: the package that is published, in dist/: compiled sources, and a manifest without what only a clone
// needs. `npm pack ./dist` makes the tarball.
import { copyFileSync, cpSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { readJson, ROOT, run } from './lib.mjs';
import { setupPackages } from './setup.mjs';

setupPackages();
const dist = join(ROOT, 'dist');
rmSync(dist, { recursive: true, force: true });
run(join(ROOT, 'node_modules', '.bin', 'tsc'), ['-p', 'tsconfig.build.json']);
// The compiler does not copy what was generated as JavaScript.
const generated = join('protocol', 'generated');
mkdirSync(join(dist, 'lib', generated), { recursive: true });
cpSync(join(ROOT, 'src', generated), join(dist, 'lib', generated), { recursive: true });
const { name, version, description, keywords, license, type, engines, dependencies } = readJson(
  join(ROOT, 'package.json'),
);
const manifest = {
  name,
  version,
  description,
  keywords,
  license,
  type,
  engines,
  bin: { goodput: 'lib/cli/main.js' },
  files: ['lib', 'README.md', 'LICENSE', 'CHANGELOG.md'],
  dependencies,
};
writeFileSync(join(dist, 'package.json'), `${JSON.stringify(manifest, null, 2)}\n`);
for (const file of ['README.md', 'LICENSE', 'CHANGELOG.md']) copyFileSync(join(ROOT, file), join(dist, file));
