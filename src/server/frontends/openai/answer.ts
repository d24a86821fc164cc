import { randomUUID } from 'node:crypto';
import type { ServerError } from '../../../core/index.ts';
import type { Engine } from '../../engine/index.ts';
import { type BodyStream, type HttpReply, type HttpStreamReply, jsonReply } from '../exchange.ts';
import { errorAnswer, errorBody } from './errors.ts';
import { generate, type Generation, type Logprob, type Piece } from './language-model.ts';

export type Reply = (reply: HttpReply | HttpStreamReply) => void;

/** How one of the two endpoints shows answers. */
export interface AnswerStyle {
  readonly idPrefix: string;
  readonly object: string;
  readonly chunkObject: string;
  /** A choice of a whole answer. */
  choice(index: number, text: string, finishReason: string, logprobs: readonly Logprob[]): object;
  /** A choice of a chunk; `first` for the first of its index. */
  chunk(index: number, text: string, finishReason: string | null, logprobs: readonly Logprob[], first: boolean): object;
}

export interface AnswerOptions {
  readonly model: string;
  /** One for each choice, in order; those of one prompt lie together. */
  readonly generations: readonly Generation[];
  readonly choicesPerPrompt: number;
  readonly stream: boolean;
  readonly includeUsage: boolean;
}

interface Usage {
  readonly prompt_tokens: number;
  readonly completion_tokens: number;
  readonly total_tokens: number;
}

/** Answers with all choices at once, or chunk by chunk. Returns a function that cancels them. */
export function answer(engine: Engine, style: AnswerStyle, options: AnswerOptions, reply: Reply): () => void {
  const head = {
    id: `${style.idPrefix}-${randomUUID().replaceAll('-', '')}`,
    created: Math.floor(engine.options.clock.epochMillis() / 1000),
    model: options.model,
  };
  const collector = options.stream
    ? new StreamedAnswer(style, head, options, reply)
    : new WholeAnswer(style, head, options, reply);
  const cancels: (() => void)[] = [];
  const cancel = (): void => {
    for (const each of cancels) each();
  };
  try {
    options.generations.forEach((generation, index) => {
      cancels.push(
        generate(engine, generation, {
          piece: (piece) => collector.piece(index, piece),
          end: (error) => {
            if (collector.end(index, error)) cancel();
          },
        }),
      );
    });
  } catch (error) {
    cancel();
    throw error;
  }
  return cancel;
}

interface Head {
  readonly id: string;
  readonly created: number;
  readonly model: string;
}

interface Choice {
  text: string;
  finishReason: string;
  readonly logprobs: Logprob[];
  inputTokens: number;
  outputTokens: number;
  started: boolean;
}

/** What both ways of answering keep of each choice. */
abstract class Collector {
  protected readonly style: AnswerStyle;
  protected readonly head: Head;
  protected readonly reply: Reply;
  protected readonly choices: readonly Choice[];
  private readonly choicesPerPrompt: number;
  private open: number;
  protected over = false;

  constructor(style: AnswerStyle, head: Head, { generations, choicesPerPrompt }: AnswerOptions, reply: Reply) {
    this.style = style;
    this.choicesPerPrompt = choicesPerPrompt;
    this.head = head;
    this.reply = reply;
    this.choices = generations.map(() => ({
      text: '',
      finishReason: 'stop',
      logprobs: [],
      inputTokens: 0,
      outputTokens: 0,
      started: false,
    }));
    this.open = generations.length;
  }

  piece(index: number, piece: Piece): void {
    const choice = this.choices[index];
    if (!choice || this.over) return;
    if (piece.inputTokens !== undefined) choice.inputTokens = piece.inputTokens;
    if (piece.outputTokens !== undefined) choice.outputTokens = piece.outputTokens;
    if (piece.finishReason !== undefined) choice.finishReason = piece.finishReason;
    this.add(index, choice, piece);
  }

  /** @returns whether the other choices are no longer wanted */
  end(index: number, error: ServerError | undefined): boolean {
    if (this.over) return false;
    if (error) {
      this.over = true;
      this.failed(error);
      return true;
    }
    const choice = this.choices[index];
    if (choice) this.ended(index, choice);
    this.open--;
    if (this.open === 0) {
      this.over = true;
      this.complete();
    }
    return false;
  }

  protected usage(): Usage {
    // A prompt counts once, however many choices it has.
    const prompts = this.choices.filter((_, index) => index % this.choicesPerPrompt === 0);
    const prompt_tokens = prompts.reduce((sum, choice) => sum + choice.inputTokens, 0);
    const completion_tokens = this.choices.reduce((sum, choice) => sum + choice.outputTokens, 0);
    return { prompt_tokens, completion_tokens, total_tokens: prompt_tokens + completion_tokens };
  }

  protected abstract add(index: number, choice: Choice, piece: Piece): void;
  protected abstract ended(index: number, choice: Choice): void;
  protected abstract failed(error: ServerError): void;
  protected abstract complete(): void;
}

class WholeAnswer extends Collector {
  protected add(_: number, choice: Choice, piece: Piece): void {
    choice.text += piece.text;
    choice.logprobs.push(...piece.logprobs);
  }

  protected ended(): void {}

  protected failed(error: ServerError): void {
    this.reply(errorAnswer(error));
  }

  protected complete(): void {
    const { id, created, model } = this.head;
    const choices = this.choices.map(({ text, finishReason, logprobs }, index) =>
      this.style.choice(index, text, finishReason, logprobs),
    );
    const body = { id, object: this.style.object, created, model, choices, usage: this.usage() };
    this.reply(jsonReply(200, JSON.stringify(body)));
  }
}

const EVENT_STREAM = 'text/event-stream; charset=utf-8';

/** Server-sent events. An error before the first of them is answered with its own status. */
class StreamedAnswer extends Collector {
  private readonly includeUsage: boolean;
  private body: BodyStream | undefined;

  constructor(style: AnswerStyle, head: Head, options: AnswerOptions, reply: Reply) {
    super(style, head, options, reply);
    this.includeUsage = options.includeUsage;
  }

  protected add(index: number, choice: Choice, { text, logprobs, finishReason }: Piece): void {
    // The reason goes out alone, at the end.
    if (text === '' && logprobs.length === 0 && (finishReason !== undefined || choice.started)) return;
    this.chunk([this.style.chunk(index, text, null, logprobs, !choice.started)]);
    choice.started = true;
  }

  protected ended(index: number, choice: Choice): void {
    this.chunk([this.style.chunk(index, '', choice.finishReason, [], !choice.started)]);
  }

  protected failed(error: ServerError): void {
    if (!this.body) {
      this.reply(errorAnswer(error));
      return;
    }
    this.body.write(`data: ${errorBody(error)}\n\n`);
    this.body.end();
  }

  protected complete(): void {
    if (this.includeUsage) this.chunk([], this.usage());
    this.body?.write('data: [DONE]\n\n');
    this.body?.end();
  }

  private chunk(choices: readonly object[], usage?: Usage): void {
    if (!this.body) {
      this.reply({ status: 200, contentType: EVENT_STREAM, start: (stream) => (this.body = stream) });
    }
    const { id, created, model } = this.head;
    const shown = this.includeUsage ? { usage: usage ?? null } : {};
    const event = { id, object: this.style.chunkObject, created, model, choices, ...shown };
    this.body?.write(`data: ${JSON.stringify(event)}\n\n`);
  }
}
