/** Serves a GGUF model; see `docs/guides/backends.md`. Loaded by the Node backend's runner. */
import { createRequire } from 'node:module';
import { availableParallelism } from 'node:os';
import { invalidArgument } from '../../../../core/index.ts';
import { isJsonObject, parseJsonText } from '../../../../protocol/index.ts';
import { defineModel, type ModelDefinition, type ModelRequest } from '../model-api.ts';
import { type Chunk, Generator } from './generator.ts';
import { LLAMA_FAMILIES } from './metrics.ts';
import type { JinjaModule, LlamaContext, LlamaModel, LlamaModule, Token } from './native.ts';
import { firstText, flag, readSampling, samplingParameters } from './sampling.ts';

const DEFAULT_PARALLEL = 4;
const DEFAULT_CONTEXT = 2048;

interface State {
  readonly model: LlamaModel;
  readonly context: LlamaContext;
  readonly generator: Generator;
  readonly renderChat: (messages: readonly unknown[]) => string;
  readonly dispose: () => Promise<void>;
  readonly count: (kind: 'prompt' | 'generated', tokens: number, seconds?: number) => void;
}

const optional = { dims: [1], optional: true } as const;

/** The model, as the parameters `parallel`, `context_length`, `threads` and `gpu_layers` want it. */
export default function createDefinition(parameters: Readonly<Record<string, string>>): ModelDefinition {
  const integer = (name: string, fallback: number): number => {
    const text = parameters[name];
    if (text === undefined) return fallback;
    if (!/^\d+$/.test(text)) throw invalidArgument(`parameter '${name}' must be an integer >= 0, got '${text}'`);
    return Number(text);
  };
  const parallel = Math.max(1, integer('parallel', DEFAULT_PARALLEL));
  const definition = defineModel({
    inputs: {
      text_input: { type: 'BYTES', ...optional },
      /** A JSON array of `{ role, content }`, to be put into the model's chat template. */
      messages: { type: 'BYTES', ...optional },
      stream: { type: 'BOOL', ...optional },
      sampling_parameters: { type: 'BYTES', ...optional },
      exclude_input_in_output: { type: 'BOOL', ...optional },
      max_tokens: { type: 'INT32', ...optional },
      temperature: { type: 'FP32', ...optional },
      top_k: { type: 'INT32', ...optional },
      top_p: { type: 'FP32', ...optional },
      min_p: { type: 'FP32', ...optional },
      seed: { type: 'UINT32', ...optional },
      stop: { type: 'BYTES', dims: [-1], optional: true },
      repeat_penalty: { type: 'FP32', ...optional },
      frequency_penalty: { type: 'FP32', ...optional },
      presence_penalty: { type: 'FP32', ...optional },
      logprobs: { type: 'INT32', ...optional },
      ignore_eos: { type: 'BOOL', ...optional },
    },
    outputs: {
      text_output: { type: 'BYTES', dims: [1] },
      /** Empty until the end. */
      finish_reason: { type: 'BYTES', dims: [1] },
      num_input_tokens: { type: 'INT32', dims: [1] },
      num_output_tokens: { type: 'INT32', dims: [1] },
      /** JSON, one entry a token; only where `logprobs` asks for it. */
      output_logprobs: { type: 'BYTES', dims: [1] },
    },
    concurrency: parallel,
    async load({ name, metrics, log }): Promise<State> {
      const url = parameters['llama_module'] ?? '';
      const native = (await import(url)) as LlamaModule;
      const gpuLayers = integer('gpu_layers', 0);
      const llama = await native.getLlama({
        gpu: gpuLayers > 0 ? 'auto' : false,
        build: 'never',
        skipDownload: true,
        logLevel: 'error',
      });
      const model = await llama.loadModel({
        modelPath: parameters['model_file'] ?? '',
        ...(gpuLayers > 0 ? { gpuLayers } : {}),
      });
      const contextSize = integer('context_length', Math.min(DEFAULT_CONTEXT, model.trainContextSize));
      // More threads than cores wait for each other in busy loops.
      const threads = Math.max(1, integer('threads', availableParallelism()));
      const context = await model.createContext({
        sequences: parallel,
        contextSize,
        threads,
      });
      const sequences = Array.from({ length: parallel }, () => context.getSequence());
      const generator = new Generator(model, name, context.contextSize, sequences);
      log.info(`context of ${context.contextSize} tokens for each of ${parallel} parallel requests`);
      const labels = { model: name };
      const { tokens, used, capacity, speed } = LLAMA_FAMILIES;
      const usedGauge = metrics.gauge(used.name, used.help, labels);
      metrics.gauge(capacity.name, capacity.help, labels).set(generator.capacity);
      const speedGauge = metrics.gauge(speed.name, speed.help, labels);
      const counters = {
        prompt: metrics.counter(tokens.name, tokens.help, { ...labels, kind: 'prompt' }),
        generated: metrics.counter(tokens.name, tokens.help, { ...labels, kind: 'generated' }),
      };
      return {
        model,
        context,
        generator,
        renderChat: chatRenderer(model, url, name),
        dispose: async () => {
          await context.dispose();
          await model.dispose();
          await llama.dispose();
        },
        count(kind, count, seconds) {
          counters[kind].increment(count);
          usedGauge.set(generator.usedTokens);
          if (seconds !== undefined && seconds > 0) speedGauge.set(count / seconds);
        },
      };
    },
    unload: (state) => state.dispose(),
    async *stream(request, { state }) {
      const plain = request as ModelRequest;
      const sampling = readSampling(plain);
      const { prompt, shown } = promptOf(plain, state);
      state.generator.check(prompt);
      const json = samplingParameters(plain);
      const streaming = flag(plain, json, 'stream');
      let text = flag(plain, json, 'exclude_input_in_output') || streaming ? '' : shown;
      state.count('prompt', prompt.length);
      const started = performance.now();
      const logprobs: Chunk['logprobs'][number][] = [];
      for await (const chunk of state.generator.generate(prompt, sampling, request.signal)) {
        text += chunk.text;
        logprobs.push(...chunk.logprobs);
        if (chunk.finish !== undefined) {
          state.count('generated', chunk.outputTokens, (performance.now() - started) / 1000);
        }
        if (!streaming && chunk.finish === undefined) continue;
        yield {
          text_output: { shape: [1], values: [text] },
          finish_reason: { shape: [1], values: [chunk.finish ?? ''] },
          num_input_tokens: { shape: [1], values: Int32Array.of(prompt.length) },
          num_output_tokens: { shape: [1], values: Int32Array.of(chunk.outputTokens) },
          ...(sampling.logprobs === undefined
            ? {}
            : { output_logprobs: { shape: [1], values: [JSON.stringify(logprobs)] } }),
        };
        text = '';
        logprobs.length = 0;
      }
    },
  });
  return definition;
}

/** The tokens to start from, and the text that stands for them in the answer. */
function promptOf(
  request: ModelRequest,
  { model, renderChat }: State,
): { readonly prompt: readonly Token[]; readonly shown: string } {
  const text = firstText(request, 'text_input');
  const chat = firstText(request, 'messages');
  if ((text === undefined) === (chat === undefined)) {
    throw invalidArgument("a request needs one of the inputs 'text_input' and 'messages'");
  }
  if (chat !== undefined) return { prompt: model.tokenize(renderChat(parseMessages(chat)), true), shown: '' };
  const tokens = model.tokenize(text ?? '', true);
  const { bos, shouldPrependBosToken } = model.tokens;
  return { prompt: shouldPrependBosToken && bos !== null ? [bos, ...tokens] : tokens, shown: text ?? '' };
}

function parseMessages(text: string): readonly unknown[] {
  let messages: unknown;
  try {
    messages = parseJsonText(text);
  } catch {
    throw invalidArgument("input 'messages' must be a JSON array");
  }
  const sound =
    Array.isArray(messages) &&
    messages.length > 0 &&
    messages.every((message) => isJsonObject(message) && typeof message['role'] === 'string');
  if (!sound) throw invalidArgument("input 'messages' must be a JSON array of { role, content }, and not empty");
  return messages as readonly unknown[];
}

function chatRenderer(model: LlamaModel, llamaUrl: string, name: string): (messages: readonly unknown[]) => string {
  const text = model.fileInfo.metadata.tokenizer?.chat_template;
  if (text === undefined) {
    return () => {
      throw invalidArgument(`model '${name}' has no chat template: send 'text_input'`);
    };
  }
  // A dependency of node-llama-cpp, which reads the same templates.
  const { Template } = createRequire(llamaUrl)('@huggingface/jinja') as JinjaModule;
  const template = new Template(text);
  return (messages) => {
    try {
      return template.render({
        messages,
        add_generation_prompt: true,
        bos_token: model.tokens.bosString ?? '',
        eos_token: model.tokens.eosString ?? '',
      });
    } catch (error) {
      throw invalidArgument(`the chat template of model '${name}' refuses the messages: ${String(error)}`);
    }
  };
}
