import { execFile } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** What one run of load measured. */
export interface LoadResult {
  readonly perSecond: number;
  readonly p50Us: number;
  readonly p99Us: number;
  readonly failed: number;
}

export interface LoadTarget {
  readonly url: string;
  readonly protocol: 'http' | 'grpc';
  readonly body: Uint8Array;
  readonly headers: Readonly<Record<string, string>>;
}

/** Core of the load generator; servers are pinned to core 0. */
export const LOAD_CORE = 1;
export const SERVER_CORE = 0;

/**
 * Closed-loop load with h2load (Debian's nghttp2-client) pinned to a core: every connection sends one request at a time.
 * @param background gives way to other load on that core: what is measured beside it is the server, not the core
 */
export async function applyLoad(
  target: LoadTarget,
  connections: number,
  seconds: number,
  background = false,
): Promise<LoadResult> {
  const folder = mkdtempSync(join(tmpdir(), 'goodput-bench-'));
  const [data, log] = [join(folder, 'body'), join(folder, 'log')];
  writeFileSync(data, target.body);
  const headers = Object.entries(target.headers).flatMap(([name, value]) => ['-H', `${name}: ${value}`]);
  const protocol = target.protocol === 'http' ? ['--h1'] : [];
  const args = [
    '-D',
    String(seconds),
    '--warm-up-time',
    '1',
    '-c',
    String(connections),
    '-m',
    '1',
    '-d',
    data,
    '--log-file',
    log,
  ];
  const output = await new Promise<string>((resolve, reject) => {
    execFile(
      'taskset',
      [
        '-c',
        String(LOAD_CORE),
        ...(background ? ['chrt', '--idle', '0'] : []),
        'h2load',
        ...protocol,
        ...args,
        ...headers,
        target.url,
      ],
      { maxBuffer: 2 ** 26 },
      (error, stdout) => (error ? reject(error) : resolve(stdout)),
    );
  });
  const times = readFileSync(log, 'utf8')
    .split('\n')
    .flatMap((line) => {
      const micros = Number(line.split('\t')[2]);
      return Number.isFinite(micros) && line !== '' ? [micros] : [];
    })
    .toSorted((a, b) => a - b);
  rmSync(folder, { recursive: true });
  return {
    perSecond: Number(/finished in [^,]+, ([\d.]+) req\/s/.exec(output)?.[1] ?? 0),
    p50Us: times[Math.floor(times.length * 0.5)] ?? 0,
    p99Us: times[Math.floor(times.length * 0.99)] ?? 0,
    failed: Number(/(\d+) 4xx/.exec(output)?.[1] ?? 0) + Number(/(\d+) 5xx/.exec(output)?.[1] ?? 0),
  };
}

export function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0;
}
