import { ServerError } from '../../../core/index.ts';
import type { InferenceRequest } from '../../../protocol/index.ts';
import type { Tensor } from '../../../tensor/index.ts';
import type { FromWorker, RunnerResult } from './messages.ts';

interface Open {
  readonly results: { readonly result: RunnerResult | null; readonly last: boolean }[];
  wake: () => void;
}

/** The requests that a model makes to other models. */
export class Questions {
  private readonly send: (message: FromWorker) => void;
  private readonly open = new Map<number, Open>();
  private asked = 0;

  constructor(send: (message: FromWorker) => void) {
    this.send = send;
  }

  answer(question: number, result: RunnerResult | null, last: boolean): void {
    const open = this.open.get(question);
    open?.results.push({ result, last });
    open?.wake();
  }

  /** @throws the error of the model that was asked */
  async one(request: InferenceRequest): Promise<readonly Tensor[]> {
    for await (const outputs of this.each(request, false)) return outputs;
    return [];
  }

  /** Every response, made into what `convert` makes of it. */
  async *many<T>(request: InferenceRequest, convert: (outputs: readonly Tensor[]) => T): AsyncGenerator<T> {
    for await (const outputs of this.each(request, true)) yield convert(outputs);
  }

  private async *each(request: InferenceRequest, many: boolean): AsyncGenerator<readonly Tensor[]> {
    const question = ++this.asked;
    const open: Open = { results: [], wake: () => undefined };
    this.open.set(question, open);
    this.send({ kind: 'infer', question, request, many });
    let over = false;
    try {
      while (!over) {
        const next = open.results.shift();
        if (!next) {
          await new Promise<void>((resolve) => (open.wake = resolve));
          continue;
        }
        over = next.last;
        if (next.result?.kind === 'error') throw new ServerError(next.result.error.code, next.result.error.message);
        if (next.result) yield next.result.outputs;
      }
    } finally {
      this.open.delete(question);
      if (!over) this.send({ kind: 'stop', question });
    }
  }
}
