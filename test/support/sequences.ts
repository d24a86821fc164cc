import assert from 'node:assert/strict';
import { NANOS_PER_MICRO, ServerError } from '../../src/core/index.ts';
import type { CorrelationId } from '../../src/protocol/index.ts';
import type { BackendInstance, ExecutionUnit } from '../../src/server/backends/contract.ts';
import type { ScheduledRequest, Scheduler } from '../../src/server/schedulers/index.ts';
import type { VirtualClock } from './virtual-clock.ts';

/** One row of an execution, as the instance saw it. */
export interface Row {
  readonly id: number;
  readonly start: number;
  readonly ready: number;
  readonly end: number;
  readonly value: number;
  readonly sum: number;
}

/** An instance that notes controls and values, adds the value to the state `SUM`, and fails on negative values. */
export class StepInstance implements BackendInstance {
  readonly name = 'steps';
  readonly batches: Row[][] = [];
  /** Executions that a request takes; every one but the last asks for another. */
  steps = 1;
  private readonly done = new Map<string, number>();
  private readonly clock: VirtualClock;
  private readonly micros: number;

  constructor(clock: VirtualClock, micros: number) {
    this.clock = clock;
    this.micros = micros;
  }

  execute(units: readonly ExecutionUnit[], done: Parameters<BackendInstance['execute']>[1]): void {
    const rows = units.map(rowOf);
    this.batches.push(rows);
    this.clock.after(this.micros * NANOS_PER_MICRO, () => {
      units.forEach((unit, index) => this.answer(unit, rows[index]));
      done({ computeInputNs: 0, computeInferNs: 0, computeOutputNs: 0 });
    });
  }

  private answer(unit: ExecutionUnit, row: Row | undefined): void {
    if (!row || row.value < 0) {
      unit.fail(new ServerError('INTERNAL', 'unlucky'));
      return;
    }
    const state = { name: 'SUM_OUT', datatype: 'INT32', shape: [1, 1], data: int32(row.sum) } as const;
    const done = (this.done.get(unit.requestId) ?? 0) + 1;
    this.done.set(unit.requestId, done);
    if (done < this.steps) {
      unit.respond([state], false);
      unit.reschedule();
      return;
    }
    unit.respond(
      [{ name: 'OUTPUT', datatype: 'BYTES', shape: [1, 1], data: Buffer.from(String(row.value)) }, state],
      true,
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {}
}

function rowOf(unit: ExecutionUnit): Row {
  const read = (name: string): number => {
    const tensor = unit.inputs.find((input) => input.name === name);
    if (!tensor) return 0;
    const bytes = Buffer.from(tensor.data);
    return tensor.datatype === 'UINT64' ? Number(bytes.readBigUInt64LE()) : bytes.length < 4 ? 0 : bytes.readInt32LE();
  };
  const value = read('VALUE');
  return {
    id: read('CORRID'),
    start: read('START'),
    ready: read('READY'),
    end: read('END'),
    value,
    sum: read('SUM_IN') + value,
  };
}

const int32 = (value: number): Uint8Array => new Uint8Array(Int32Array.of(value).buffer);

interface SentStep extends ScheduledRequest {
  cancelled: boolean;
  answer: string | undefined;
  outputNames: readonly string[];
}

interface Step {
  readonly start?: boolean;
  readonly end?: boolean;
  readonly value?: number;
  readonly rows?: number;
  readonly shape?: string;
}

/** Sends requests of sequences; the answer of a request without a value of its own is its number. */
export class SequenceClient {
  readonly sent: SentStep[] = [];
  private readonly scheduler: Scheduler;
  private readonly clock: VirtualClock;

  constructor(scheduler: Scheduler, clock: VirtualClock) {
    this.scheduler = scheduler;
    this.clock = clock;
  }

  send(id: CorrelationId | undefined, step: Step = {}): SentStep {
    const number = this.sent.length;
    const settle = (answer: string): void => {
      assert.equal(request.answer, undefined, `request ${number} was answered twice`);
      request.answer = answer;
    };
    const request: SentStep = {
      requestId: String(number),
      parameters: {},
      inputs: [{ name: 'VALUE', datatype: 'INT32', shape: [1, 1], data: int32(step.value ?? number) }],
      batchSize: step.rows ?? 1,
      outputs: undefined,
      enqueuedAt: this.clock.now(),
      batchKey: step.shape,
      priority: 0,
      timeoutMicros: 0,
      traceparent: undefined,
      sequence: id === undefined ? undefined : { id, start: step.start ?? false, end: step.end ?? false },
      trace: undefined,
      cancelled: false,
      answer: undefined,
      outputNames: [],
      started() {},
      respond: (outputs, final) => {
        request.outputNames = [...request.outputNames, ...outputs.map((output) => output.name)];
        if (final) settle(Buffer.from(outputs[0]?.data ?? []).toString());
      },
      finish: () => settle('nothing'),
      reschedule: () => assert.fail('a step outside of a sequence'),
      fail: (error) => settle(error.message),
    };
    this.sent.push(request);
    this.scheduler.enqueue(request);
    return request;
  }

  cancel(request: SentStep): void {
    request.cancelled = true;
    this.scheduler.cancel(request);
  }
}
