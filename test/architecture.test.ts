import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('..', import.meta.url));

/** Folders of `src`, each with its layer. A file imports only from its own folder or a strictly lower layer. */
const LAYERS: readonly (readonly [string, number])[] = [
  ['core', 0],
  ['telemetry', 1],
  ['tensor', 1],
  ['protocol', 2],
  ['repository', 3],
  ['client', 3],
  ['perf', 4],
  ['server/backends', 4],
  ['server/schedulers', 5],
  ['server/engine', 6],
  ['server/frontends', 7],
  ['server/frontends/http', 8],
  ['server/frontends/grpc', 8],
  ['server/frontends/metrics', 8],
  ['server/frontends/openai', 8],
  ['cli', 9],
];

function areaOf(path: string): readonly [string, number] {
  const found = LAYERS.filter(([folder]) => path.startsWith(`${folder}/`)).toSorted(
    ([a], [b]) => b.length - a.length,
  )[0];
  if (!found) throw new Error(`src/${path} is in no layer`);
  return found;
}

const files = globSync('src/**/*.ts', { cwd: ROOT }).filter((file) => !file.endsWith('.d.ts'));

function importsOf(file: string): readonly string[] {
  const text = readFileSync(join(ROOT, file), 'utf8');
  return [...text.matchAll(/(?:^|\n)\s*(?:import|export)[^;]*?from '(\.[^']+)'/g)].map((match) => match[1] ?? '');
}

test('a file imports only from its own area or a strictly lower layer', () => {
  const broken: string[] = [];
  for (const file of files.filter((name) => !name.endsWith('.test.ts'))) {
    const own = relative('src', file);
    const [area, layer] = areaOf(own);
    for (const target of importsOf(file)) {
      const path = relative(join(ROOT, 'src'), resolve(ROOT, dirname(file), target));
      const [targetArea, targetLayer] = areaOf(path);
      if (targetArea !== area && targetLayer >= layer) broken.push(`${file} imports ${path}`);
    }
  }
  assert.deepEqual(broken, []);
});

test('backends do not import each other', () => {
  const broken = files.flatMap((file) => {
    const own = /^src\/server\/backends\/([^/]+)\//.exec(file)?.[1];
    if (own === undefined) return [];
    return importsOf(file)
      .map((target) => relative(ROOT, resolve(ROOT, dirname(file), target)))
      .filter((path) => /^src\/server\/backends\/[^/]+\//.test(path) && !path.startsWith(`src/server/backends/${own}/`))
      .map((path) => `${file} imports ${path}`);
  });
  assert.deepEqual(broken, []);
});

test('no source uses the any type or silences the compiler', () => {
  const broken = files.filter((file) =>
    /:\s*any\b|\bas any\b|<any>|@ts-(?:ignore|expect-error|nocheck)/.test(
      readFileSync(join(ROOT, file), 'utf8').replaceAll(/^\s*\/?\*.*$/gm, ''),
    ),
  );
  assert.deepEqual(broken, []);
});

test('no file is called utils and none is longer than 450 lines', () => {
  const long = files.filter(
    (file) => !file.endsWith('.test.ts') && readFileSync(join(ROOT, file), 'utf8').split('\n').length > 450,
  );
  assert.deepEqual(long, []);
  assert.deepEqual(
    files.filter((file) => /utils?\.ts$/.test(file)),
    [],
  );
});
