import { internalError, toServerError } from '../../../core/index.ts';
import type { InferenceOutcome } from '../../../protocol/index.ts';
import type { Tensor } from '../../../tensor/index.ts';
import type { ServerAccess } from '../contract.ts';
import type { FromWorker, RunnerResult, ToWorker } from './messages.ts';

/** The inferences of other models that a model asks for; one for each worker. */
export class Calls {
  private readonly server: ServerAccess;
  private readonly send: (message: ToWorker) => void;
  /** Cancels those that are under way. */
  private readonly running = new Map<number, () => void>();

  constructor(server: ServerAccess, send: (message: ToWorker) => void) {
    this.server = server;
    this.send = send;
  }

  infer({ question, request, many }: Extract<FromWorker, { readonly kind: 'infer' }>): void {
    const answer = (result: RunnerResult | null, last: boolean): void => {
      if (last) this.running.delete(question);
      this.send({ kind: 'answer', question, result, last });
    };
    const refuse = (thrown: unknown, last: boolean): void => {
      const { code, message } = toServerError(thrown);
      answer({ kind: 'error', error: { code, message } }, last);
    };
    let over = false;
    try {
      if (!many && this.server.isDecoupled(request.modelName, request.modelVersion)) {
        throw internalError(`model '${request.modelName}' answers any number of times: ask it with inferStream`);
      }
      const cancel = this.server.infer(request, (outcome: InferenceOutcome) => {
        if (over) return;
        over = outcome.kind === 'empty-final' || outcome.final;
        if (outcome.kind === 'empty-final') answer(null, true);
        else if (outcome.kind === 'error') refuse(outcome.error, outcome.final);
        else answer({ kind: 'response', outputs: outcome.response.outputs.map(owned) }, outcome.final);
      });
      if (!over) this.running.set(question, cancel);
    } catch (error) {
      refuse(error, true);
    }
  }

  /** The model wants no further response. */
  stop(question: number): void {
    this.running.get(question)?.();
    this.running.delete(question);
  }

  /** The worker is gone: nobody waits for the answers. */
  close(): void {
    for (const cancel of this.running.values()) cancel();
    this.running.clear();
  }
}

/** A copy that nobody writes over. */
function owned(tensor: Tensor): Tensor {
  return { ...tensor, data: Uint8Array.from(tensor.data) };
}
