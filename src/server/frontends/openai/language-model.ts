import { internalError, type ServerError } from '../../../core/index.ts';
import {
  type InferenceRequest,
  type InferenceResponse,
  type InputTensor,
  isFinal,
  type ParameterValue,
} from '../../../protocol/index.ts';
import { type DataType, decodeStrings, encodeStrings } from '../../../tensor/index.ts';
import type { Engine, LoadedModel } from '../../engine/index.ts';
import { OpenAiError } from './errors.ts';

/** How an answer is to be generated; settings go to inputs of their names, or to the request's parameters. */
export interface Generation {
  readonly model: string;
  readonly prompt:
    | { readonly kind: 'text'; readonly text: string }
    | { readonly kind: 'chat'; readonly messages: string };
  readonly stream: boolean;
  readonly echo: boolean;
  readonly stop: readonly string[];
  readonly settings: Readonly<Record<string, number | undefined>>;
}

/** A piece of an answer, or all of it. */
export interface Piece {
  readonly text: string;
  readonly finishReason: string | undefined;
  readonly inputTokens: number | undefined;
  /** Of the whole answer so far. */
  readonly outputTokens: number | undefined;
  readonly logprobs: readonly Logprob[];
}

export interface Logprob {
  readonly token: string;
  readonly logprob: number;
  readonly bytes: readonly number[];
  readonly top_logprobs: readonly Omit<Logprob, 'top_logprobs'>[];
}

export interface GenerationSink {
  piece(piece: Piece): void;
  end(error: ServerError | undefined): void;
}

/** Whether a model takes a text and gives a text, by the names that Triton's LLM backends use. */
export function isLanguageModel(model: LoadedModel): boolean {
  return (
    model.inputs.some(({ name, datatype }) => name === 'text_input' && datatype === 'BYTES') &&
    model.outputs.some(({ name, datatype }) => name === 'text_output' && datatype === 'BYTES')
  );
}

/**
 * Starts to generate.
 * @returns a function that cancels it
 * @throws OpenAiError when the model cannot do what is asked
 */
export function generate(engine: Engine, generation: Generation, sink: GenerationSink): () => void {
  const model = engine.model(generation.model, '');
  if (!isLanguageModel(model)) {
    throw new OpenAiError(
      400,
      `model '${generation.model}' does not generate text: it has no input 'text_input' and output 'text_output'`,
      'model',
    );
  }
  const request = buildRequest(model, generation);
  return engine.infer(request, (outcome) => {
    if (outcome.kind === 'response') {
      try {
        sink.piece(pieceOf(outcome.response));
      } catch (error) {
        sink.end(internalError(String(error)));
        return;
      }
    }
    if (isFinal(outcome)) sink.end(outcome.kind === 'error' ? outcome.error : undefined);
  });
}

function buildRequest(model: LoadedModel, generation: Generation): InferenceRequest {
  const inputs: InputTensor[] = [];
  const parameters: Record<string, ParameterValue> = {};
  const types = new Map(model.inputs.map(({ name, datatype }) => [name, datatype]));
  const shape = (length: number): readonly number[] => (model.batching ? [1, length] : [length]);
  const put = (name: string, value: string | number | boolean): void => {
    const datatype = types.get(name);
    if (datatype === undefined) parameters[name] = value;
    else inputs.push({ name, datatype, shape: shape(1), data: scalar(datatype, value) });
  };
  if (generation.prompt.kind === 'chat') {
    if (!types.has('messages')) {
      throw new OpenAiError(
        400,
        `model '${model.name}' has no input 'messages', so it cannot chat: use /v1/completions`,
        'model',
      );
    }
    put('messages', generation.prompt.messages);
  } else {
    put('text_input', generation.prompt.text);
    if (types.has('exclude_input_in_output')) put('exclude_input_in_output', !generation.echo);
  }
  if (types.has('stream')) put('stream', generation.stream);
  for (const [name, value] of Object.entries(generation.settings)) if (value !== undefined) put(name, value);
  const { stop } = generation;
  if (stop.length > 0) {
    if (types.get('stop') === 'BYTES') {
      inputs.push({ name: 'stop', datatype: 'BYTES', shape: shape(stop.length), data: encodeStrings(stop) });
    } else {
      parameters['stop'] = stop[0] ?? '';
    }
  }
  return {
    modelName: generation.model,
    modelVersion: '',
    id: '',
    inputs,
    outputs: [],
    parameters,
    priority: 0,
    timeoutMicros: 0,
  };
}

function scalar(datatype: DataType, value: string | number | boolean): Uint8Array {
  const number = Number(value);
  switch (datatype) {
    case 'BYTES':
      return encodeStrings([String(value)]);
    case 'BOOL':
    case 'UINT8':
    case 'INT8':
      return Uint8Array.of(number);
    case 'INT16':
    case 'UINT16':
      return new Uint8Array(Int16Array.of(number).buffer);
    case 'INT32':
      return new Uint8Array(Int32Array.of(number).buffer);
    case 'UINT32':
      return new Uint8Array(Uint32Array.of(number).buffer);
    case 'INT64':
    case 'UINT64':
      return new Uint8Array(BigInt64Array.of(BigInt(Math.trunc(number))).buffer);
    case 'FP32':
      return new Uint8Array(Float32Array.of(number).buffer);
    case 'FP64':
      return new Uint8Array(Float64Array.of(number).buffer);
    case 'FP16':
    case 'BF16':
      throw new OpenAiError(400, `an input of type ${datatype} cannot be set over the OpenAI endpoints`);
    default:
      return datatype satisfies never;
  }
}

function pieceOf({ outputs }: InferenceResponse): Piece {
  const find = (name: string): InferenceResponse['outputs'][number] | undefined =>
    outputs.find((output) => output.name === name);
  const text = (name: string): string | undefined => {
    const tensor = find(name);
    return tensor?.datatype === 'BYTES' ? decodeStrings(tensor.data).join('') : undefined;
  };
  const count = (name: string): number | undefined => {
    const tensor = find(name);
    return tensor?.datatype === 'INT32' ? Buffer.from(tensor.data).readInt32LE() : undefined;
  };
  const finishReason = text('finish_reason');
  const logprobs = text('output_logprobs');
  return {
    text: text('text_output') ?? '',
    finishReason: finishReason === '' ? undefined : finishReason,
    inputTokens: count('num_input_tokens'),
    outputTokens: count('num_output_tokens'),
    logprobs: logprobs === undefined ? [] : (JSON.parse(logprobs) as readonly Logprob[]),
  };
}
