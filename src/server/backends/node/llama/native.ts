/** The part of `node-llama-cpp` 3 that is used (https://node-llama-cpp.withcat.ai/api/). */

export type Token = number;

export interface LlamaModule {
  getLlama(options: Readonly<Record<string, unknown>>): Promise<Llama>;
}

export interface Llama {
  loadModel(options: { readonly modelPath: string; readonly gpuLayers?: number }): Promise<LlamaModel>;
  dispose(): Promise<void>;
}

export interface LlamaModel {
  readonly trainContextSize: number;
  readonly tokens: {
    readonly bos: Token | null;
    readonly bosString: string | null;
    readonly eosString: string | null;
    readonly shouldPrependBosToken: boolean;
  };
  readonly fileInfo: { readonly metadata: { readonly tokenizer?: { readonly chat_template?: string } } };
  tokenize(text: string, specialTokens: boolean): Token[];
  detokenize(tokens: readonly Token[], specialTokens?: boolean, lastTokens?: readonly Token[]): string;
  isEogToken(token: Token): boolean;
  createContext(options: {
    readonly sequences: number;
    readonly contextSize: number;
    readonly threads?: number;
    readonly batchSize?: number;
  }): Promise<LlamaContext>;
  dispose(): Promise<void>;
}

export interface LlamaContext {
  readonly contextSize: number;
  getSequence(): LlamaSequence;
  dispose(): Promise<void>;
}

export interface SamplingOptions {
  readonly temperature: number;
  readonly topK?: number;
  readonly topP?: number;
  readonly minP?: number;
  readonly seed?: number;
  readonly yieldEogToken: boolean;
  readonly repeatPenalty?: {
    readonly punishTokens: () => readonly Token[];
    readonly penalty?: number;
    readonly frequencyPenalty?: number;
    readonly presencePenalty?: number;
  };
}

export interface LlamaSequence {
  readonly nextTokenIndex: number;
  readonly contextTokens: readonly Token[];
  adaptStateToTokens(tokens: readonly Token[], allowShift: boolean): Promise<void>;
  clearHistory(): Promise<void>;
  evaluate(tokens: readonly Token[], options: SamplingOptions): AsyncGenerator<Token>;
  evaluateWithMetadata(
    tokens: readonly Token[],
    metadata: { readonly probabilities: true },
    options: SamplingOptions,
  ): AsyncGenerator<{ readonly token: Token; readonly probabilities: ReadonlyMap<Token, number> }>;
}

/** Renders chat templates as Hugging Face's tokenizers do. */
export interface JinjaModule {
  readonly Template: new (text: string) => { render(values: Readonly<Record<string, unknown>>): string };
}
