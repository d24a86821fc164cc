import { type ChildProcess, spawn } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

const MAIN = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url));
const LIMIT_MS = 60_000;

/** A `goodput` process on free ports. */
export class RunningServer {
  readonly process: ChildProcess;
  http = '';
  grpc = '';
  metrics = '';
  log = '';

  private constructor(command: string, args: readonly string[], env: NodeJS.ProcessEnv) {
    const ports = ['--http-port=0', '--grpc-port=0', '--metrics-port=0'];
    this.process = spawn(process.execPath, [MAIN, command, ...ports, ...args], { env: { ...process.env, ...env } });
    this.process.stderr?.on('data', (chunk: Buffer) => {
      this.log += chunk.toString();
    });
    this.process.stdout?.on('data', (chunk: Buffer) => {
      this.log += chunk.toString();
    });
  }

  /** Starts and waits until models have been loaded, whether or not all of them did. */
  static async start(args: readonly string[], env: NodeJS.ProcessEnv = {}, command = 'serve'): Promise<RunningServer> {
    const server = new RunningServer(command, args, env);
    const deadline = performance.now() + LIMIT_MS;
    while (!server.log.includes('is serving')) {
      if (server.process.exitCode !== null)
        throw new Error(`the server exited with ${server.process.exitCode}: ${server.log}`);
      if (performance.now() > deadline) throw new Error(`the server did not start: ${server.log}`);
      await sleep(20);
    }
    server.http = `127.0.0.1:${server.port('HTTPService')}`;
    server.grpc = `127.0.0.1:${server.port('GRPCInferenceService')}`;
    server.metrics = `127.0.0.1:${server.port('Metrics Service')}`;
    return server;
  }

  /** Runs to the end and returns the exit status with everything printed. */
  static async runToExit(
    args: readonly string[],
    command = 'serve',
  ): Promise<{ readonly status: number | null; readonly log: string }> {
    const server = new RunningServer(command, args, {});
    const status = await server.exited();
    return { status, log: server.log };
  }

  exited(): Promise<number | null> {
    const { process: child } = this;
    if (child.exitCode !== null) return Promise.resolve(child.exitCode);
    return new Promise((resolve) => child.once('close', (code) => resolve(code)));
  }

  async stop(): Promise<number | null> {
    this.process.kill('SIGTERM');
    return this.exited();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  private port(kind: string): string {
    return new RegExp(`Started ${kind} at [^:]+:(\\d+)`).exec(this.log)?.[1] ?? '0';
  }
}

/** An HTTP call with its whole answer as text. */
export async function call(
  url: string,
  init: RequestInit = {},
): Promise<{ readonly status: number; readonly type: string | null; readonly text: string }> {
  const response = await fetch(`http://${url}`, init);
  return { status: response.status, type: response.headers.get('content-type'), text: await response.text() };
}

export function post(body: string | Uint8Array<ArrayBuffer>, headers: Record<string, string> = {}): RequestInit {
  return { method: 'POST', body, headers };
}
