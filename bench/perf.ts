import { execFile } from 'node:child_process';
import { globSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { LOAD_CORE, median } from './load.ts';
import type { BenchOptions } from './main.ts';
import { makeRepository } from './models.ts';
import { startGoodput } from './servers.ts';
import { note, printTable } from './table.ts';

const path = (relative: string): string => fileURLToPath(new URL(relative, import.meta.url));
const ANALYZER = path('../.cache/perf-analyzer');

/** What a load generator says of one run. */
interface Reported {
  readonly throughput: number;
  readonly p50: number;
  readonly p99: number;
}

/** `goodput perf` beside the real perf_analyzer 2.50: the same server on one core, one generator at a time on the other. */
export async function benchPerf({ rounds, seconds }: BenchOptions): Promise<void> {
  const library = globSync(join(ANALYZER, '**/libcudart.so.12'))[0];
  if (library === undefined) {
    note('perf: the real perf_analyzer is not there; npm test fetches it');
    return;
  }
  const server = await startGoodput(makeRepository(), { http: 18_000, grpc: 18_001 });
  // One thread for all its requests: with a thread for each, on one core, perf_analyzer may never come to an end.
  const analyzer = [join(ANALYZER, 'bin', 'perf_analyzer'), '-a', '--max-threads', '1'];
  const generators: readonly (readonly [name: string, command: readonly string[]])[] = [
    ['perf_analyzer', analyzer],
    ['goodput perf', [process.execPath, path('../src/cli/main.ts'), 'perf']],
  ];
  const rows: string[][] = [];
  try {
    for (const [protocol, port] of [
      ['http', 18_000],
      ['grpc', 18_001],
    ] as const) {
      for (const level of [1, 16, 64]) {
        const seen = new Map<string, Reported[]>(generators.map(([name]) => [name, []]));
        for (let round = 0; round < rounds; round++) {
          for (const [name, command] of generators) {
            const flags = [
              '-m',
              'simple',
              '-i',
              protocol,
              '-u',
              `127.0.0.1:${port}`,
              '--concurrency-range',
              String(level),
            ];
            const measuring = ['-p', String(seconds * 500), '-s', '100', '-r', '5'];
            const reported = await run([...command, ...flags, ...measuring], dirname(library));
            note(`${protocol} ${level} ${name}: ${reported.throughput.toFixed(0)}/s, p50 ${reported.p50} us`);
            seen.get(name)?.push(reported);
          }
        }
        const of = (name: string, key: keyof Reported): number =>
          median((seen.get(name) ?? []).map((each) => each[key]));
        for (const [name] of generators) {
          const ratio = of(name, 'throughput') / of('perf_analyzer', 'throughput');
          rows.push([
            protocol,
            String(level),
            name,
            of(name, 'throughput').toFixed(0),
            of(name, 'p50').toFixed(0),
            of(name, 'p99').toFixed(0),
            ratio.toFixed(2),
          ]);
        }
      }
    }
  } finally {
    await server.stop();
  }
  printTable(
    `goodput perf beside perf_analyzer 2.50 on the same server (medians of ${rounds} interleaved runs)`,
    ['protocol', 'concurrency', 'generator', 'infer/s', 'p50 us', 'p99 us', 'infer/s to perf_analyzer'],
    rows,
  );
}

const LIMIT_MS = 60_000;

function run(command: readonly string[], libraries: string): Promise<Reported> {
  return new Promise((resolve, reject) => {
    const env = { ...process.env, LD_LIBRARY_PATH: libraries };
    execFile('taskset', ['-c', String(LOAD_CORE), ...command], { env, timeout: LIMIT_MS }, (error, output) => {
      const value = (pattern: RegExp): number => Number(pattern.exec(output)?.[1] ?? Number.NaN);
      const reported = {
        throughput: value(/Throughput: ([\d.]+)/),
        p50: value(/p50 latency: (\d+)/),
        p99: value(/p99 latency: (\d+)/),
      };
      if (Number.isNaN(reported.throughput)) reject(error ?? new Error(`no throughput in: ${output}`));
      else resolve(reported);
    });
  });
}
