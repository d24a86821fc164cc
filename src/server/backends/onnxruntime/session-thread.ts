import { Worker } from 'node:worker_threads';
import { errorMessage, internalError, type ServerError, workerUrl } from '../../../core/index.ts';
import { createRingBuffer, MESSAGE, RingWriter } from './command-ring.ts';
import type { FromWorker, OnnxModelInfo, RunResult, SessionOptions, SlotLayout, ToWorker } from './messages.ts';

type Answer = Exclude<FromWorker, { kind: 'failed' }>;
type Waiter = (outcome: Answer | ServerError) => void;

/** One worker thread and the sessions that live on it. Answers come in the order of the questions. */
export class SessionThread {
  private readonly worker: Worker;
  private readonly ring: RingWriter;
  private readonly waiters: Waiter[] = [];
  /** Ring entries that did not fit: written as soon as the worker has answered something. */
  private readonly backlog: number[] = [];
  private nextSession = 1;
  private nextSlot = 1;
  private failure: ServerError | undefined;
  /** Sessions loaded or being loaded. */
  sessions = 0;

  constructor() {
    const buffer = createRingBuffer();
    this.ring = new RingWriter(buffer);
    this.worker = new Worker(workerUrl(import.meta.url, 'session-worker'), {
      name: 'goodput-onnx',
      workerData: buffer,
    });
    this.worker.on('message', (message: FromWorker) => this.settle(message));
    this.worker.on('error', (error) => this.fail(`ONNX Runtime worker thread failed: ${errorMessage(error)}`));
    this.worker.on('exit', () => this.fail('ONNX Runtime worker thread has stopped'));
  }

  get alive(): boolean {
    return this.failure === undefined;
  }

  /** Loads a model file; rejects with INTERNAL and the runtime's own words. */
  async load(path: string, options: SessionOptions): Promise<{ session: number; info: OnnxModelInfo }> {
    const session = this.nextSession++;
    this.sessions++;
    try {
      const answer = await this.ask({ kind: 'load', session, path, options });
      if (typeof answer === 'number' || answer.kind !== 'loaded')
        throw internalError('the worker gave no model information');
      return { session, info: answer.info };
    } catch (error) {
      this.sessions--;
      throw error;
    }
  }

  async unload(session: number): Promise<void> {
    try {
      if (this.alive) await this.ask({ kind: 'unload', session });
    } finally {
      this.sessions--;
    }
  }

  /** Makes a slot known to the worker; returns its id for {@link run}. */
  define(session: number, layout: SlotLayout): number {
    const slot = this.nextSlot++;
    this.post({ kind: 'define', slot, session, layout });
    return slot;
  }

  forget(slot: number): void {
    this.post({ kind: 'forget', slot });
  }

  run(slot: number, done: (outcome: RunResult | ServerError) => void): void {
    if (!this.await((outcome) => done(runResult(outcome)))) return;
    this.signal(slot);
  }

  runOnce(session: number, layout: SlotLayout, done: (outcome: RunResult | ServerError) => void): void {
    this.send({ kind: 'run-once', session, layout }, (outcome) => done(runResult(outcome)));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.worker.terminate();
  }

  private ask(message: ToWorker): Promise<Answer> {
    return new Promise((resolve, reject) => {
      this.send(message, (outcome) => (outcome instanceof Error ? reject(outcome) : resolve(outcome)));
    });
  }

  private send(message: ToWorker, waiter: Waiter): void {
    if (this.await(waiter)) this.post(message);
  }

  /** Registers who gets the next answer; a dead thread answers with its failure. */
  private await(waiter: Waiter): boolean {
    const { failure } = this;
    if (failure) queueMicrotask(() => waiter(failure));
    else this.waiters.push(waiter);
    return !failure;
  }

  private post(message: ToWorker): void {
    if (!this.alive) return;
    this.worker.postMessage(message);
    this.signal(MESSAGE);
  }

  private signal(entry: number): void {
    if (this.backlog.length > 0 || !this.ring.write(entry)) this.backlog.push(entry);
  }

  private settle(message: FromWorker): void {
    while (this.backlog.length > 0 && this.ring.write(this.backlog[0] ?? MESSAGE)) this.backlog.shift();
    const waiter = this.waiters.shift();
    if (!waiter) return;
    if (typeof message === 'object' && message.kind === 'failed') waiter(internalError(message.message));
    else waiter(message);
  }

  private fail(message: string): void {
    this.failure ??= internalError(message);
    for (const waiter of this.waiters.splice(0)) waiter(this.failure);
  }
}

const NO_OUTPUTS: RunResult['outputs'] = [];

function runResult(outcome: Answer | ServerError): RunResult | ServerError {
  if (typeof outcome === 'number') return { inputNs: 0, inferNs: outcome, outputNs: 0, outputs: NO_OUTPUTS };
  if (outcome instanceof Error) return outcome;
  return outcome.kind === 'result' ? outcome : internalError(`unexpected answer '${outcome.kind}' from a worker`);
}
