import { createInterface } from 'node:readline';
import { Worker as Thread } from 'node:worker_threads';
import { errorMessage, internalError, type Logger, workerUrl } from '../../../core/index.ts';
import type { ServerAccess } from '../contract.ts';
import { AwaitedAnswer } from '../awaited-answer.ts';
import type { Worker } from '../supervised-instance.ts';
import { Calls } from './calls.ts';
import { applyMetric } from './model-metrics.ts';
import type { Description, ExecutionMessage, FromWorker, RunnerOptions, ToWorker } from './messages.ts';
import { Runner } from './runner.ts';

/** Where a model runs. */
export const PLACEMENTS = ['thread', 'inline'] as const;
export type Placement = (typeof PLACEMENTS)[number];

export interface ModelWorkerOptions {
  readonly runner: RunnerOptions;
  readonly placement: Placement;
  readonly logger: Logger;
  readonly server: ServerAccess;
  readonly timeoutMs: number;
}

/** A model with the thread that it runs on. */
export class ModelWorker implements Worker {
  private readonly options: ModelWorkerOptions;
  private readonly thread: Thread | undefined;
  private readonly runner: Runner | undefined;
  private readonly answer: AwaitedAnswer<FromWorker>;
  private readonly calls: Calls;
  private ended = false;
  onMessage: (message: ExecutionMessage) => void = () => undefined;
  onExit: (reason: string) => void = () => undefined;

  private constructor(options: ModelWorkerOptions) {
    this.options = options;
    this.answer = new AwaitedAnswer(options.timeoutMs);
    this.calls = new Calls(options.server, (message) => this.send(message));
    if (options.placement === 'inline') {
      this.runner = new Runner(options.runner, (message) => this.received(message));
      return;
    }
    const thread = new Thread(workerUrl(import.meta.url, 'worker'), {
      workerData: options.runner,
      stdout: true,
      stderr: true,
    });
    this.thread = thread;
    thread.on('message', (message: FromWorker) => this.received(message));
    thread.on('error', (error) => this.exited(errorMessage(error)));
    thread.on('exit', (code) => this.exited(`its thread ended with exit code ${code}`));
    for (const [stream, level] of [
      [thread.stdout, 'info'],
      [thread.stderr, 'warn'],
    ] as const) {
      createInterface({ input: stream }).on('line', (line) => {
        if (line !== '') options.logger[level](line, { model: options.runner.name });
      });
    }
  }

  /** @throws INTERNAL with the model's own error */
  static async start(options: ModelWorkerOptions): Promise<{ worker: ModelWorker; description: Description }> {
    const worker = new ModelWorker(options);
    try {
      const answer = worker.answer.wait('load');
      void worker.runner?.open();
      const message = await answer;
      if (message.kind !== 'described') throw internalError(`unexpected '${message.kind}' from a model`);
      return { worker, description: message.description };
    } catch (error) {
      await worker.kill();
      throw error;
    }
  }

  /** Calls the model's `load`. */
  async load(): Promise<void> {
    const answer = this.answer.wait('load');
    this.send({ kind: 'load' });
    await answer;
  }

  send(message: ToWorker, transfer: readonly ArrayBuffer[] = []): void {
    if (this.ended) return;
    if (this.runner) this.runner.receive(message);
    else this.thread?.postMessage(message, transfer);
  }

  get inline(): boolean {
    return this.runner !== undefined;
  }

  async end(): Promise<void> {
    try {
      const answer = this.answer.wait('unload');
      this.send({ kind: 'end' });
      await answer;
    } catch (error) {
      this.options.logger.warn(`unload: ${errorMessage(error)}`, { model: this.options.runner.name });
    }
    await this.kill();
  }

  async kill(): Promise<void> {
    await this.thread?.terminate();
  }

  private received(message: FromWorker): void {
    switch (message.kind) {
      case 'described':
      case 'loaded':
      case 'ended':
        this.answer.resolve(message);
        return;
      case 'failed':
        this.answer.reject(internalError(message.error));
        return;
      case 'executed':
      case 'response':
        this.onMessage(message);
        return;
      case 'infer':
        this.calls.infer(message);
        return;
      case 'stop':
        this.calls.stop(message.question);
        return;
      case 'metric':
        applyMetric(this.options.server.metrics, message, (reason) =>
          this.options.logger.error(`metric '${message.name}': ${reason}`, { model: this.options.runner.name }),
        );
        return;
      case 'log':
        this.options.logger[message.level](message.text, { model: this.options.runner.name });
        return;
      default:
        message satisfies never;
    }
  }

  private exited(reason: string): void {
    if (this.ended) return;
    this.ended = true;
    this.calls.close();
    this.answer.reject(internalError(reason));
    this.onExit(reason);
  }
}
