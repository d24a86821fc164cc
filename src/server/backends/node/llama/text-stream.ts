import type { LlamaModel, Token } from './native.ts';

const REPLACEMENT = '\u{FFFD}';

/** A token with the text that it stands for. */
export interface Piece {
  readonly text: string;
  /** A stop text was met: `text` is what comes before it. */
  readonly stopped: boolean;
}

/**
 * Text out of tokens, a piece at a time: whole characters only, and nothing that may turn out to be the beginning of a
 * stop text.
 */
export class TextStream {
  private readonly model: Pick<LlamaModel, 'detokenize'>;
  private readonly stops: readonly string[];
  private readonly tokens: Token[] = [];
  /** Tokens whose text is not complete yet start here. */
  private open = 0;
  private held = '';

  constructor(model: Pick<LlamaModel, 'detokenize'>, stops: readonly string[]) {
    this.model = model;
    this.stops = stops;
  }

  push(token: Token): Piece {
    this.tokens.push(token);
    const text = this.model.detokenize(this.tokens.slice(this.open), false, this.tokens.slice(0, this.open));
    if (text.endsWith(REPLACEMENT)) return { text: '', stopped: false };
    this.open = this.tokens.length;
    this.held += text;
    return this.release();
  }

  /** What is left at the end. */
  flush(): string {
    const rest = this.model.detokenize(this.tokens.slice(this.open), false, this.tokens.slice(0, this.open));
    const text = this.held + rest;
    this.held = '';
    this.open = this.tokens.length;
    return text;
  }

  private release(): Piece {
    let first = -1;
    for (const stop of this.stops) {
      const at = this.held.indexOf(stop);
      if (at >= 0 && (first < 0 || at < first)) first = at;
    }
    if (first >= 0) {
      const text = this.held.slice(0, first);
      this.held = '';
      return { text, stopped: true };
    }
    const keep = this.longestBeginning();
    const text = this.held.slice(0, this.held.length - keep);
    this.held = this.held.slice(this.held.length - keep);
    return { text, stopped: false };
  }

  /** Length of the longest end of the text that a stop text begins with. */
  private longestBeginning(): number {
    let longest = 0;
    for (const stop of this.stops) {
      for (let length = Math.min(stop.length - 1, this.held.length); length > longest; length--) {
        if (this.held.endsWith(stop.slice(0, length))) longest = length;
      }
    }
    return longest;
  }
}
