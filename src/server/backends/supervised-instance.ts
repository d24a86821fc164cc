import {
  errorMessage,
  internalError,
  type Logger,
  NANOS_PER_MILLI,
  ServerError,
  systemClock,
} from '../../core/index.ts';
import type { Parameters } from '../../protocol/index.ts';
import type { Tensor } from '../../tensor/index.ts';
import type { BackendInstance, ExecutionReport, ExecutionUnit } from './contract.ts';

const NO_TIME: ExecutionReport = { computeInputNs: 0, computeInferNs: 0, computeOutputNs: 0 };

const FIRST_RESTART_MS = 100;
const LONGEST_RESTART_MS = 30_000;
/** A worker that has lived that long starts again without delay when it dies. */
const HEALTHY_MS = 30_000;

/** A process or thread that runs a user's code, and may die of it. */
export interface Worker {
  /** Called once, with why the worker is no more. */
  onExit: (reason: string) => void;
  /** Ends it in order. */
  end(): Promise<void>;
  kill(): Promise<void>;
}

export interface SupervisionOptions<W extends Worker> {
  readonly name: string;
  readonly model: string;
  readonly decoupled: boolean;
  readonly logger: Logger;
  /** How long an execution may take, in milliseconds; 0 for any time. */
  readonly executionLimitMs: number;
  /** Starts a worker with the model loaded and initialized. */
  start(): Promise<W>;
}

/** What the instance is able to do. */
type State<W> =
  | { readonly kind: 'ready'; readonly worker: W; readonly since: number }
  /** Its worker died; the batch that it died on keeps the instance busy until there is another one. */
  | { readonly kind: 'restarting' }
  /** It could not be started again yet: batches fail at once. */
  | { readonly kind: 'broken'; readonly reason: string }
  | { readonly kind: 'closed' };

interface Execution {
  readonly units: readonly number[];
  readonly done: (report: ExecutionReport) => void;
  readonly startedAt: number;
  readonly deadline: NodeJS.Timeout | undefined;
}

/** Nanoseconds that the worker measured. */
export interface WorkerTimes {
  readonly input: number;
  readonly infer: number;
  readonly output: number;
}

/**
 * An instance whose code runs in a worker of its own: knows which requests the worker has, fails them when it dies,
 * and starts another one, later and later when that does not help.
 */
export abstract class SupervisedInstance<W extends Worker> implements BackendInstance {
  readonly name: string;
  protected readonly options: SupervisionOptions<W>;
  private state: State<W> = { kind: 'restarting' };
  private execution: Execution | undefined;
  /** Requests that are not over, by the number that the worker knows them by. */
  private readonly open = new Map<number, ExecutionUnit>();
  private lastNumber = 0;
  private restarts = 0;
  private idle: (() => void) | undefined;

  constructor(options: SupervisionOptions<W>) {
    this.name = options.name;
    this.options = options;
  }

  /** Starts the first worker. */
  async start(): Promise<this> {
    this.state = this.serve(await this.options.start());
    return this;
  }

  /** Listens to a worker. */
  protected abstract attach(worker: W): void;
  /** Stops what was going on for the worker, which is gone. */
  protected detach(): void {}

  /** Gives a batch to the worker; `numbers` stand for the units in its answers. */
  protected abstract send(worker: W, units: readonly ExecutionUnit[], numbers: readonly number[]): void;
  /** What requests are told whose worker died. */
  protected abstract deathNotice(reason: string): string;

  get ready(): boolean {
    return this.state.kind === 'ready';
  }

  execute(units: readonly ExecutionUnit[], done: (report: ExecutionReport) => void): void {
    const { state } = this;
    if (state.kind !== 'ready') {
      const reason = state.kind === 'broken' ? `: ${state.reason}` : '';
      const error = new ServerError('UNAVAILABLE', `instance '${this.name}' is not running${reason}`);
      for (const unit of units) unit.fail(error);
      done(NO_TIME);
      return;
    }
    const numbers = units.map((unit) => {
      const number = ++this.lastNumber;
      this.open.set(number, unit);
      return number;
    });
    this.execution = { units: numbers, done, startedAt: systemClock.now(), deadline: this.deadline(state.worker) };
    this.send(state.worker, units, numbers);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // A decoupled model may still answer requests of executions that are over.
    if (this.open.size > 0 && this.state.kind === 'ready') await new Promise<void>((resolve) => (this.idle = resolve));
    const { state } = this;
    this.state = { kind: 'closed' };
    if (state.kind === 'ready') await state.worker.end();
    this.detach();
  }

  /** The units of the execution that has ended, in order; `ended` has to be called once they are settled. */
  protected endExecution(): { readonly units: readonly number[]; ended(times: WorkerTimes): void } | undefined {
    const { execution } = this;
    if (!execution) return undefined;
    this.execution = undefined;
    clearTimeout(execution.deadline);
    return {
      units: execution.units,
      ended({ input, infer, output }) {
        // What the messages took on their way counts as input and output.
        const travel = Math.max(0, systemClock.now() - execution.startedAt - input - infer - output) / 2;
        execution.done({ computeInputNs: input + travel, computeInferNs: infer, computeOutputNs: output + travel });
      },
    };
  }

  protected isCancelled(number: number): boolean {
    return this.open.get(number)?.cancelled ?? false;
  }

  protected openRequests(): readonly number[] {
    return [...this.open.keys()];
  }

  /** Without a decoupled policy there is one response, whether or not the model says that it is the last. */
  protected respond(number: number, tensors: readonly Tensor[], last: boolean, parameters?: Parameters): void {
    const final = last || !this.options.decoupled;
    this.take(number, final)?.respond(tensors, final, undefined, parameters);
  }

  protected fail(number: number, error: ServerError, last: boolean): void {
    const final = last || !this.options.decoupled;
    this.take(number, final)?.fail(error, final);
  }

  /** No response comes any more. */
  protected finish(number: number): void {
    const unit = this.take(number, true);
    if (this.options.decoupled) unit?.finish();
    else unit?.fail(internalError(`model '${this.options.model}' dropped the request without a response`));
  }

  protected reschedule(number: number): void {
    this.take(number, true)?.reschedule();
  }

  private take(number: number, final: boolean): ExecutionUnit | undefined {
    const unit = this.open.get(number);
    if (final) {
      this.open.delete(number);
      if (this.open.size === 0) this.idle?.();
    }
    return unit;
  }

  private serve(worker: W): State<W> {
    this.attach(worker);
    worker.onExit = (reason) => this.died(reason);
    return { kind: 'ready', worker, since: systemClock.now() };
  }

  private deadline(worker: W): NodeJS.Timeout | undefined {
    const { executionLimitMs, logger, model } = this.options;
    if (executionLimitMs <= 0) return undefined;
    return setTimeout(() => {
      logger.error(`an execution of '${this.name}' took longer than ${executionLimitMs / 1000} s: it is ended`, {
        model,
      });
      void worker.kill();
    }, executionLimitMs);
  }

  /** Fails what the worker had, and starts another one. */
  private died(reason: string): void {
    const { state, execution } = this;
    if (state.kind !== 'ready') return;
    this.state = { kind: 'restarting' };
    this.detach();
    void state.worker.kill();
    const { logger, model } = this.options;
    logger.error(`the worker of '${this.name}' is gone: ${reason}`, { model });
    this.execution = undefined;
    clearTimeout(execution?.deadline);
    const error = internalError(this.deathNotice(reason));
    const units = [...this.open.values()];
    this.open.clear();
    for (const unit of units) unit.fail(error);
    this.idle?.();
    if (systemClock.now() - state.since > HEALTHY_MS * NANOS_PER_MILLI) this.restarts = 0;
    // Until it runs again the instance counts as busy, so that others get the requests.
    void this.restart(() => execution?.done(NO_TIME));
  }

  private async restart(settled: () => void): Promise<void> {
    const { logger, model } = this.options;
    let waiting: (() => void) | undefined = settled;
    while (this.state.kind === 'restarting' || this.state.kind === 'broken') {
      const delay = Math.min(LONGEST_RESTART_MS, FIRST_RESTART_MS * 2 ** this.restarts);
      this.restarts++;
      await new Promise((resolve) => setTimeout(resolve, delay).unref());
      if (this.closed) break;
      try {
        const worker = await this.options.start();
        if (this.closed) {
          await worker.end();
          break;
        }
        this.state = this.serve(worker);
        logger.info(`'${this.name}' runs again`, { model });
      } catch (error) {
        this.state = { kind: 'broken', reason: errorMessage(error) };
        logger.error(`'${this.name}' cannot be started again: ${errorMessage(error)}`, { model });
      }
      waiting?.();
      waiting = undefined;
    }
    waiting?.();
  }

  private get closed(): boolean {
    return this.state.kind === 'closed';
  }
}
