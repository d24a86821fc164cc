import { ServerError } from '../../../core/index.ts';
import type { ExecutionUnit } from '../contract.ts';
import { SupervisedInstance } from '../supervised-instance.ts';
import type { ExecutionMessage, WireResult } from './messages.ts';
import type { PythonProcess } from './process.ts';
import { InlineBytes, tensorsFromWire, tensorsToWire } from './tensor-wire.ts';

const SEQUENCE_START = 1;
const SEQUENCE_END = 2;

/** An instance of a Python model: a process of its own. */
export class PythonInstance extends SupervisedInstance<PythonProcess> {
  protected attach(process: PythonProcess): void {
    process.isCancelled = (unit) => this.isCancelled(unit);
    process.onMessage = (message, payload) => this.received(process, message, payload);
  }

  protected send(process: PythonProcess, units: readonly ExecutionUnit[], numbers: readonly number[]): void {
    const inline = new InlineBytes();
    const requests = units.map((unit, index) =>
      requestToWire(numbers[index] ?? 0, unit, tensorsToWire(unit.inputs, process.inputs, inline)),
    );
    process.send({ k: 'x', r: requests }, inline.parts);
  }

  protected deathNotice(reason: string): string {
    return `Failed to process the request(s) for model '${this.name}', message: Stub process '${this.name}' is not healthy: ${reason}.`;
  }

  private received(process: PythonProcess, message: ExecutionMessage, payload: Buffer): void {
    if (message.k === 'x') this.executed(process, message.r, message.t, payload);
    else if (message.w) this.settle(process, message.u, message.w, message.l, payload);
    else if (message.l) this.finish(message.u);
  }

  private executed(
    process: PythonProcess,
    results: readonly (WireResult | null)[],
    [input, infer, output]: readonly [number, number, number],
    payload: Buffer,
  ): void {
    const execution = this.endExecution();
    if (!execution) return;
    results.forEach((result, index) => {
      const unit = execution.units[index];
      if (result !== null && unit !== undefined) this.settle(process, unit, result, true, payload);
    });
    execution.ended({ input, infer, output });
  }

  private settle(process: PythonProcess, number: number, result: WireResult, last: boolean, payload: Buffer): void {
    switch (result[0]) {
      case 'r': {
        const read: number[] = [];
        const tensors = tensorsFromWire(result[1], payload, process.outputs, read);
        process.hasRead(read);
        this.respond(number, tensors, last, result[2]);
        return;
      }
      case 'e':
        this.fail(number, new ServerError(result[1], result[2]), last);
        return;
      case 'a':
        this.reschedule(number);
        return;
      default:
        return result satisfies never;
    }
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
