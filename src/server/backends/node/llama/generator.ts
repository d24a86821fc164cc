import { invalidArgument } from '../../../../core/index.ts';
import type { LlamaModel, LlamaSequence, SamplingOptions, Token } from './native.ts';
import type { Sampling } from './sampling.ts';
import { Slots } from './slots.ts';
import { TextStream } from './text-stream.ts';

/** The probability of a token, in the form of OpenAI's `logprobs`. */
export interface TokenLogprob {
  readonly token: string;
  readonly logprob: number;
  readonly bytes: readonly number[];
  readonly top_logprobs: readonly {
    readonly token: string;
    readonly logprob: number;
    readonly bytes: readonly number[];
  }[];
}

export const FINISH_REASONS = ['stop', 'length', 'cancelled'] as const;
export type FinishReason = (typeof FINISH_REASONS)[number];

/** A piece of an answer; the last one has a reason. */
export interface Chunk {
  readonly text: string;
  readonly logprobs: readonly TokenLogprob[];
  readonly finish: FinishReason | undefined;
  readonly outputTokens: number;
}

/** How many of the last tokens penalties look at. */
const PENALTY_WINDOW = 64;

/** Generates answers with the sequences of one context, which evaluates them in common batches. */
export class Generator {
  private readonly model: LlamaModel;
  private readonly name: string;
  private readonly contextSize: number;
  private readonly slots: Slots;
  private readonly sequences: readonly LlamaSequence[];

  constructor(model: LlamaModel, name: string, contextSize: number, sequences: readonly LlamaSequence[]) {
    this.model = model;
    this.name = name;
    this.contextSize = contextSize;
    this.sequences = sequences;
    this.slots = new Slots(sequences);
  }

  /** Tokens in the context's memory, of all sequences. */
  get usedTokens(): number {
    return this.sequences.reduce((sum, sequence) => sum + sequence.nextTokenIndex, 0);
  }

  get capacity(): number {
    return this.contextSize * this.sequences.length;
  }

  /** @throws INVALID_ARG for a prompt that is empty or longer than the context */
  check(prompt: readonly Token[]): void {
    if (prompt.length === 0) throw invalidArgument(`the prompt for model '${this.name}' is empty`);
    if (prompt.length >= this.contextSize) {
      throw invalidArgument(
        `the prompt has ${prompt.length} tokens, the context of model '${this.name}' holds ${this.contextSize}, of which the answer needs at least 1`,
      );
    }
  }

  async *generate(prompt: readonly Token[], sampling: Sampling, signal: AbortSignal): AsyncGenerator<Chunk> {
    const sequence = await this.slots.take(prompt);
    try {
      if (signal.aborted) return;
      yield* this.run(sequence, prompt, sampling, signal);
    } finally {
      this.slots.giveBack(sequence);
    }
  }

  private async *run(
    sequence: LlamaSequence,
    prompt: readonly Token[],
    sampling: Sampling,
    signal: AbortSignal,
  ): AsyncGenerator<Chunk> {
    // What the sequence shares with the prompt need not be evaluated again; at least one token has to be.
    await sequence.adaptStateToTokens(prompt.slice(0, -1), false);
    const rest = prompt.slice(sequence.nextTokenIndex);
    const limit = Math.min(sampling.maxTokens ?? Infinity, this.contextSize - prompt.length);
    const text = new TextStream(this.model, sampling.stop);
    const generated: Token[] = [];
    let finish: FinishReason | undefined;
    let logprobs: TokenLogprob[] = [];
    for await (const { token, logprob } of this.tokens(sequence, rest, sampling, generated)) {
      if (signal.aborted) {
        finish = 'cancelled';
        break;
      }
      if (!sampling.ignoreEos && this.model.isEogToken(token)) {
        finish = 'stop';
        break;
      }
      generated.push(token);
      if (logprob) logprobs.push(logprob);
      const piece = text.push(token);
      if (piece.stopped) {
        yield { text: piece.text, logprobs, finish: 'stop', outputTokens: generated.length };
        return;
      }
      if (generated.length >= limit) {
        finish = 'length';
        yield { text: piece.text + text.flush(), logprobs, finish, outputTokens: generated.length };
        return;
      }
      if (piece.text === '') continue;
      yield { text: piece.text, logprobs, finish: undefined, outputTokens: generated.length };
      logprobs = [];
    }
    yield { text: text.flush(), logprobs, finish: finish ?? 'stop', outputTokens: generated.length };
  }

  private async *tokens(
    sequence: LlamaSequence,
    tokens: readonly Token[],
    sampling: Sampling,
    generated: readonly Token[],
  ): AsyncGenerator<{ readonly token: Token; readonly logprob: TokenLogprob | undefined }> {
    const options = samplingOptions(sampling, generated);
    if (sampling.logprobs === undefined) {
      for await (const token of sequence.evaluate(tokens, options)) yield { token, logprob: undefined };
      return;
    }
    const alternatives = sampling.logprobs;
    for await (const { token, probabilities } of sequence.evaluateWithMetadata(
      tokens,
      { probabilities: true },
      options,
    )) {
      yield { token, logprob: this.logprob(token, probabilities, alternatives) };
    }
  }

  private logprob(token: Token, probabilities: ReadonlyMap<Token, number>, alternatives: number): TokenLogprob {
    const describe = (candidate: Token): { token: string; logprob: number; bytes: readonly number[] } => {
      const text = this.model.detokenize([candidate], true);
      // A probability of 0 would be minus infinity, which JSON does not have.
      const logprob = Math.max(-9999, Math.log(probabilities.get(candidate) ?? 0));
      return { token: text, logprob, bytes: [...Buffer.from(text)] };
    };
    const best = [...probabilities].toSorted(([, a], [, b]) => b - a).slice(0, alternatives);
    return { ...describe(token), top_logprobs: best.map(([candidate]) => describe(candidate)) };
  }
}

function samplingOptions(sampling: Sampling, generated: readonly Token[]): SamplingOptions {
  const { temperature, topK, topP, minP, seed, repeatPenalty, frequencyPenalty, presencePenalty } = sampling;
  const penalized = repeatPenalty !== 1 || frequencyPenalty !== 0 || presencePenalty !== 0;
  return {
    temperature,
    topK,
    topP,
    minP,
    yieldEogToken: true,
    ...(seed === undefined ? {} : { seed }),
    ...(penalized
      ? {
          repeatPenalty: {
            punishTokens: () => generated.slice(-PENALTY_WINDOW),
            penalty: repeatPenalty,
            frequencyPenalty,
            presencePenalty,
          },
        }
      : {}),
  };
}
