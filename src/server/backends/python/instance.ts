import { errorMessage, internalError, type Logger, ServerError, systemClock } from '../../../core/index.ts';
import type { BackendInstance, ExecutionReport, ExecutionUnit, ServerAccess } from '../contract.ts';
import { type FromProcess, isQuestion, type WireResult } from './messages.ts';
import type { PythonProcess } from './process.ts';
import { Questions } from './questions.ts';
import { InlineBytes, tensorsFromWire, tensorsToWire } from './tensor-wire.ts';

const NO_TIME: ExecutionReport = { computeInputNs: 0, computeInferNs: 0, computeOutputNs: 0 };

const FIRST_RESTART_MS = 100;
const LONGEST_RESTART_MS = 30_000;
/** A process that has lived that long starts again without delay when it dies. */
const HEALTHY_MS = 30_000;

const SEQUENCE_START = 1;
const SEQUENCE_END = 2;

/** How an instance gets its process. */
export interface InstanceOptions {
  readonly name: string;
  readonly model: string;
  readonly decoupled: boolean;
  readonly logger: Logger;
  readonly server: ServerAccess;
  /** How long an execution may take, in milliseconds; 0 for any time. */
  readonly executionLimitMs: number;
  /** Starts a process with the model loaded and initialized. */
  start(): Promise<PythonProcess>;
}

/** What the instance is able to do. */
type State =
  | { readonly kind: 'ready'; readonly process: PythonProcess; readonly since: number }
  /** Its process died; the batch that it died on keeps the instance busy until there is another one. */
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

/** An instance of a Python model: a process, and another one when that dies. */
export class PythonInstance implements BackendInstance {
  readonly name: string;
  private readonly options: InstanceOptions;
  private state: State;
  private questions: Questions;
  private execution: Execution | undefined;
  /** Requests that are not over, by the number that the process knows them by. */
  private readonly open = new Map<number, ExecutionUnit>();
  private units = 0;
  private restarts = 0;
  private idle: (() => void) | undefined;

  constructor(options: InstanceOptions, process: PythonProcess) {
    this.name = options.name;
    this.options = options;
    this.questions = this.attach(process);
    this.state = { kind: 'ready', process, since: systemClock.now() };
  }

  get ready(): boolean {
    return this.state.kind === 'ready';
  }

  execute(units: readonly ExecutionUnit[], done: (report: ExecutionReport) => void): void {
    const { state } = this;
    if (state.kind !== 'ready') {
      const reason = state.kind === 'broken' ? `: ${state.reason}` : '';
      const error = new ServerError('UNAVAILABLE', `the Python process of '${this.name}' is not running${reason}`);
      for (const unit of units) unit.fail(error);
      done(NO_TIME);
      return;
    }
    const inline = new InlineBytes();
    const numbers: number[] = [];
    const requests = units.map((unit) => {
      const number = this.units++;
      numbers.push(number);
      this.open.set(number, unit);
      return requestToWire(number, unit, tensorsToWire(unit.inputs, state.process.inputs, inline));
    });
    this.execution = { units: numbers, done, startedAt: systemClock.now(), deadline: this.deadline(state.process) };
    state.process.send({ k: 'x', r: requests }, inline.parts);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // A decoupled model may still answer requests of executions that are over.
    if (this.open.size > 0 && this.state.kind === 'ready') await new Promise<void>((resolve) => (this.idle = resolve));
    const { state } = this;
    this.state = { kind: 'closed' };
    if (state.kind === 'ready') await state.process.end();
    this.questions.close();
  }

  private attach(process: PythonProcess): Questions {
    const questions = new Questions(
      process,
      this.options.server,
      this.options.logger,
      (unit) => this.open.get(unit)?.cancelled ?? false,
    );
    process.onMessage = (message, payload) => this.received(process, questions, message, payload);
    process.onExit = (reason) => this.died(reason);
    return questions;
  }

  private deadline(process: PythonProcess): NodeJS.Timeout | undefined {
    const { executionLimitMs } = this.options;
    if (executionLimitMs <= 0) return undefined;
    return setTimeout(() => {
      this.options.logger.error(
        `execution of '${this.name}' took longer than ${executionLimitMs / 1000} s: its process is ended`,
        { model: this.options.model },
      );
      void process.kill();
    }, executionLimitMs);
  }

  private received(process: PythonProcess, questions: Questions, message: FromProcess, payload: Buffer): void {
    if (isQuestion(message)) {
      questions.ask(message, payload);
      return;
    }
    switch (message.k) {
      case 'x':
        this.executed(process, message.r, message.t, payload);
        return;
      case 's':
        this.settle(process, message.u, message.w, message.l, payload);
        return;
      case 'stop':
        questions.stop(message.n);
        return;
      case 'log':
        this.log(message.v, message.t);
        return;
      case 'ready':
      case 'fatal':
      case 'done':
        return;
      default:
        return message satisfies never;
    }
  }

  private executed(
    process: PythonProcess,
    results: readonly (WireResult | null)[],
    times: readonly [number, number, number],
    payload: Buffer,
  ): void {
    const { execution } = this;
    if (!execution) return;
    this.execution = undefined;
    clearTimeout(execution.deadline);
    results.forEach((result, index) => {
      const unit = execution.units[index];
      if (result !== null && unit !== undefined) this.settle(process, unit, result, true, payload);
    });
    // What the messages took on their way counts as input and output.
    const travel = Math.max(0, systemClock.now() - execution.startedAt - times[0] - times[1] - times[2]) / 2;
    execution.done({
      computeInputNs: times[0] + travel,
      computeInferNs: times[1],
      computeOutputNs: times[2] + travel,
    });
  }

  private settle(
    process: PythonProcess,
    number: number,
    result: WireResult | null,
    last: boolean,
    payload: Buffer,
  ): void {
    const unit = this.open.get(number);
    const read: number[] = [];
    if (result?.[0] === 'r') {
      const tensors = tensorsFromWire(result[1], payload, process.outputs, read);
      process.hasRead(read);
      // Without a decoupled policy there is one response, whether or not the model says that it is the last.
      const final = last || !this.options.decoupled;
      if (final) this.forget(number);
      unit?.respond(tensors, final, undefined, result[2]);
      return;
    }
    if (result?.[0] === 'a') {
      this.forget(number);
      unit?.reschedule();
      return;
    }
    if (last) this.forget(number);
    if (result) unit?.fail(new ServerError(result[1], result[2]), last || !this.options.decoupled);
    else if (this.options.decoupled) unit?.finish();
    else unit?.fail(internalError(`model '${this.options.model}' dropped the request without a response`));
  }

  private forget(number: number): void {
    this.open.delete(number);
    if (this.open.size === 0) this.idle?.();
  }

  private log(level: 'INFO' | 'WARNING' | 'ERROR' | 'VERBOSE', text: string): void {
    const { logger, model } = this.options;
    const fields = { model };
    if (level === 'INFO') logger.info(text, fields);
    else if (level === 'WARNING') logger.warn(text, fields);
    else if (level === 'ERROR') logger.error(text, fields);
    else logger.verbose(1, text, fields);
  }

  /** Fails what the process had, and starts another one. */
  private died(reason: string): void {
    const { state, execution } = this;
    if (state.kind !== 'ready') return;
    this.state = { kind: 'restarting' };
    this.questions.close();
    void state.process.kill();
    const { logger, model } = this.options;
    logger.error(`the Python process of '${this.name}' is gone: ${reason}`, { model });
    this.execution = undefined;
    clearTimeout(execution?.deadline);
    const error = internalError(
      `Failed to process the request(s) for model '${this.name}', message: Stub process '${this.name}' is not healthy: ${reason}.`,
    );
    const units = [...this.open.values()];
    this.open.clear();
    for (const unit of units) unit.fail(error);
    if (systemClock.now() - state.since > HEALTHY_MS * 1e6) this.restarts = 0;
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
        const process = await this.options.start();
        if (this.closed) {
          await process.end();
          break;
        }
        this.questions = this.attach(process);
        this.state = { kind: 'ready', process, since: systemClock.now() };
        logger.info(`'${this.name}' has a new Python process`, { model });
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

/** As the process reads it: number, id, sequence, flags, timeout, parameters, outputs, trace, inputs. */
function requestToWire(number: number, unit: ExecutionUnit, inputs: readonly unknown[]): readonly unknown[] {
  const { sequence, parameters, outputs } = unit;
  let hasParameters = false;
  for (const _ in parameters) {
    hasParameters = true;
    break;
  }
  const id = sequence?.id ?? 0;
  return [
    number,
    unit.requestId,
    typeof id === 'bigint' && id <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(id) : id,
    (sequence?.start ? SEQUENCE_START : 0) | (sequence?.end ? SEQUENCE_END : 0),
    unit.timeoutMicros,
    hasParameters ? parameters : null,
    outputs ? [...outputs] : [],
    unit.traceparent ?? null,
    inputs,
  ];
}
