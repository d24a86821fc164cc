import type { LlamaSequence, Token } from './native.ts';

/** The sequences of a context: each serves one request at a time. */
export class Slots {
  private readonly idle: LlamaSequence[];
  private readonly waiting: ((sequence: LlamaSequence) => void)[] = [];

  constructor(sequences: readonly LlamaSequence[]) {
    this.idle = [...sequences];
  }

  /** The idle sequence that shares the longest beginning with a prompt, as soon as one is idle. */
  async take(prompt: readonly Token[]): Promise<LlamaSequence> {
    let best: LlamaSequence | undefined;
    let shared = -1;
    for (const sequence of this.idle) {
      const common = commonLength(sequence.contextTokens, prompt);
      if (common <= shared) continue;
      best = sequence;
      shared = common;
    }
    if (!best) return new Promise((resolve) => this.waiting.push(resolve));
    this.idle.splice(this.idle.indexOf(best), 1);
    return best;
  }

  giveBack(sequence: LlamaSequence): void {
    const next = this.waiting.shift();
    if (next) next(sequence);
    else this.idle.push(sequence);
  }
}

export function commonLength(a: readonly Token[], b: readonly Token[]): number {
  let length = 0;
  while (length < a.length && length < b.length && a[length] === b[length]) length++;
  return length;
}
