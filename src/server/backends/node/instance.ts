import { ServerError } from '../../../core/index.ts';
import type { Tensor } from '../../../tensor/index.ts';
import type { ExecutionUnit } from '../contract.ts';
import { SupervisedInstance } from '../supervised-instance.ts';
import type { ExecutionMessage, RunnerRequest, RunnerResult } from './messages.ts';
import type { ModelWorker } from './model-worker.ts';

/** How often it is looked whether clients have gone. */
const CANCEL_POLL_MS = 50;

/** An instance of a Node model. */
export class NodeInstance extends SupervisedInstance<ModelWorker> {
  private readonly told = new Set<number>();
  private poll: NodeJS.Timeout | undefined;

  protected attach(worker: ModelWorker): void {
    worker.onMessage = (message) => this.received(message);
  }

  protected override detach(): void {
    clearInterval(this.poll);
    this.poll = undefined;
    this.told.clear();
  }

  protected send(worker: ModelWorker, units: readonly ExecutionUnit[], numbers: readonly number[]): void {
    const transfer: ArrayBuffer[] = [];
    const requests = units.map((unit, index): RunnerRequest => {
      const { requestId, parameters, sequence, outputs } = unit;
      return {
        number: numbers[index] ?? 0,
        id: requestId,
        inputs: worker.inline ? unit.inputs : movable(unit.inputs, transfer),
        parameters,
        sequence,
        outputs: outputs ? [...outputs] : [],
      };
    });
    worker.send({ kind: 'execute', requests }, transfer);
    this.poll ??= setInterval(() => this.tellCancelled(worker), CANCEL_POLL_MS).unref();
  }

  protected deathNotice(reason: string): string {
    return `the worker of '${this.name}' ended while it had the request: ${reason}`;
  }

  private received(message: ExecutionMessage): void {
    switch (message.kind) {
      case 'executed': {
        const execution = this.endExecution();
        message.results.forEach((result, index) => {
          const unit = execution?.units[index];
          if (result && unit !== undefined) this.settle(unit, result, true);
        });
        execution?.ended({ input: 0, infer: message.inferNs, output: 0 });
        return;
      }
      case 'response':
        if (message.result) this.settle(message.number, message.result, message.last);
        else this.finish(message.number);
        return;
      default:
        message satisfies never;
    }
  }

  private settle(number: number, result: RunnerResult, last: boolean): void {
    if (result.kind === 'response') this.respond(number, result.outputs, last);
    else this.fail(number, new ServerError(result.error.code, result.error.message), last);
  }

  private tellCancelled(worker: ModelWorker): void {
    const open = this.openRequests();
    for (const number of open) {
      if (!this.isCancelled(number) || this.told.has(number)) continue;
      this.told.add(number);
      worker.send({ kind: 'cancel', number });
    }
    if (open.length === 0) this.detach();
  }
}

/**
 * Tensors that a thread can have: those in shared memory as they are, the others together in one buffer that moves.
 */
function movable(tensors: readonly Tensor[], transfer: ArrayBuffer[]): readonly Tensor[] {
  let bytes = 0;
  const place = ({ data }: Tensor): number => {
    const at = bytes;
    // Values of every type are aligned.
    bytes += Math.ceil(data.length / 8) * 8;
    return at;
  };
  const shared = ({ data }: Tensor): boolean => data.buffer instanceof SharedArrayBuffer;
  const places = tensors.map((tensor) => (shared(tensor) ? -1 : place(tensor)));
  const buffer = new ArrayBuffer(bytes);
  if (bytes > 0) transfer.push(buffer);
  return tensors.map((tensor, index) => {
    const at = places[index] ?? -1;
    if (at < 0) return tensor;
    const data = new Uint8Array(buffer, at, tensor.data.length);
    data.set(tensor.data);
    return { ...tensor, data };
  });
}
