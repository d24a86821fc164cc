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
// The Python side of the server, which runs as it is.
cpSync(join(ROOT, 'python'), join(dist, 'python'), {
  recursive: true,
  filter: (path) => !path.includes('__pycache__'),
});
/** A source of the package as what it is compiled to. */
function built(source) {
  if (!source.endsWith('.ts')) return source;
  const path = source.replace('./src/', './lib/').replace(/\.ts$/, '');
  return { types: `${path}.d.ts`, default: `${path}.js` };
}

const {
  name,
  version,
  description,
  keywords,
  license,
  type,
  engines,
  dependencies,
  exports: exported,
} = readJson(join(ROOT, 'package.json'));
const manifest = {
  name,
  version,
  description,
  keywords,
  license,
  type,
  engines,
  bin: { goodput: 'lib/cli/main.js' },
  exports: Object.fromEntries(Object.entries(exported).map(([path, source]) => [path, built(source)])),
  files: ['lib', 'python', 'README.md', 'LICENSE', 'CHANGELOG.md'],
  dependencies,
};
writeFileSync(join(dist, 'package.json'), `${JSON.stringify(manifest, null, 2)}\n`);
for (const file of ['README.md', 'LICENSE', 'CHANGELOG.md']) copyFileSync(join(ROOT, file), join(dist, file));
