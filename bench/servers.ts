import { type ChildProcess, spawn } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { SERVER_CORE } from './load.ts';

const path = (relative: string): string => fileURLToPath(new URL(relative, import.meta.url));

/** A process pinned to the server core, or to those that are named. */
export class PinnedProcess {
  readonly process: ChildProcess;

  constructor(command: readonly string[], cores = String(SERVER_CORE)) {
    this.process = spawn('taskset', ['-c', cores, ...command], {
      stdio: ['ignore', 'ignore', 'inherit'],
    });
  }

  get pid(): number {
    return this.process.pid ?? 0;
  }

  async stop(): Promise<void> {
    const gone = new Promise<void>((resolve) => this.process.once('exit', () => resolve()));
    this.process.kill('SIGTERM');
    await gone;
  }
}

export interface Ports {
  readonly http: number;
  readonly grpc: number;
}

/** Node's bare HTTP and HTTP/2 servers, echoing request bodies: what the runtime alone can do. */
export async function startEchoes(ports: Ports): Promise<PinnedProcess> {
  const server = new PinnedProcess([process.execPath, path('./echo.ts'), String(ports.http), String(ports.grpc)]);
  await untilOpen(`http://127.0.0.1:${ports.http}/`);
  return server;
}

/** This build, or another checkout's, on a model repository. */
export async function startGoodput(
  repository: string,
  ports: Ports,
  checkout = path('..'),
  flags: readonly string[] = [],
  cores?: string,
): Promise<PinnedProcess> {
  const command = [
    process.execPath,
    `${checkout}/src/cli/main.ts`,
    'serve',
    `--model-repository=${repository}`,
    `--http-port=${ports.http}`,
    `--grpc-port=${ports.grpc}`,
    '--metrics-port=0',
    '--log-info=false',
    ...flags,
  ];
  const server = new PinnedProcess(command, cores);
  await untilOpen(`http://127.0.0.1:${ports.http}/v2/health/ready`);
  return server;
}

export async function untilOpen(url: string, limitMs = 120_000): Promise<number> {
  const start = performance.now();
  while (performance.now() - start < limitMs) {
    const ok = await fetch(url).then(
      (response) => response.ok,
      () => false,
    );
    if (ok) return performance.now() - start;
    await sleep(10);
  }
  throw new Error(`${url} did not answer within ${limitMs / 1000} s`);
}
