import type { ServerError } from '../../../core/index.ts';
import type { InferenceResponse } from '../../../protocol/index.ts';
import { encodeStrings } from '../../../tensor/index.ts';
import type { Engine, LoadedModel } from '../../engine/index.ts';
import { jsonReply } from '../exchange.ts';
import type { Reply } from './answer.ts';
import { errorAnswer, invalidField, OpenAiError } from './errors.ts';
import type { Fields } from './fields.ts';

const MOST_TEXTS = 2048;

/** The tensors of a model that makes numbers out of texts. */
interface EmbeddingTensors {
  readonly input: string;
  readonly output: string;
  /** Optional: how many tokens the text had. */
  readonly tokens: string | undefined;
}

/** A model is asked for embeddings when it has one BYTES input and one FP32 output, or one called `embedding`. */
export function embeddingTensors(model: LoadedModel): EmbeddingTensors | undefined {
  const required = model.inputs.filter((input) => !input.optional);
  const [input] = required;
  if (required.length !== 1 || input?.datatype !== 'BYTES') return undefined;
  const floats = model.outputs.filter(({ datatype }) => datatype === 'FP32');
  const named = floats.find(({ name }) => /^(sentence_)?embeddings?$/i.test(name));
  const output = named ?? (floats.length === 1 ? floats[0] : undefined);
  if (!output) return undefined;
  const tokens = model.outputs.find(({ name, datatype }) => name === 'num_input_tokens' && datatype === 'INT32');
  return { input: input.name, output: output.name, tokens: tokens?.name };
}

/** `POST /v1/embeddings` (https://platform.openai.com/docs/api-reference/embeddings). */
export function embed(engine: Engine, fields: Fields, reply: Reply): () => void {
  const name = fields.text('model');
  fields.refuse(['dimensions']);
  const texts = fields.texts('input');
  if (texts.length === 0 || texts.length > MOST_TEXTS) {
    throw invalidField('input', `'input' must be a text or a list of 1 to ${MOST_TEXTS} texts`);
  }
  const format = fields.raw('encoding_format') ?? 'float';
  if (format !== 'float' && format !== 'base64') {
    throw invalidField('encoding_format', `'encoding_format' must be float or base64, got ${JSON.stringify(format)}`);
  }
  const model = engine.model(name, '');
  const tensors = embeddingTensors(model);
  if (!tensors) {
    throw new OpenAiError(
      400,
      `model '${name}' makes no embeddings: it needs one BYTES input and one FP32 output`,
      'model',
    );
  }
  const vectors: (Float32Array | undefined)[] = texts.map(() => undefined);
  let tokens = 0;
  let open = texts.length;
  const cancels: (() => void)[] = [];
  let over = false;
  const fail = (error: ServerError | OpenAiError): void => {
    if (over) return;
    over = true;
    for (const cancel of cancels) cancel();
    reply(errorAnswer(error));
  };
  texts.forEach((text, index) => {
    const request = {
      modelName: name,
      modelVersion: '',
      id: '',
      inputs: [
        {
          name: tensors.input,
          datatype: 'BYTES' as const,
          shape: model.batching ? [1, 1] : [1],
          data: encodeStrings([text]),
        },
      ],
      outputs: [],
      parameters: {},
      priority: 0,
      timeoutMicros: 0,
    };
    // Each text is a request of its own: the models' batchers put them together.
    cancels.push(
      engine.infer(request, (outcome) => {
        if (over) return;
        if (outcome.kind === 'error') {
          fail(outcome.error);
          return;
        }
        if (outcome.kind === 'empty-final') {
          fail(new OpenAiError(500, `model '${name}' gave no embedding`));
          return;
        }
        vectors[index] = vectorOf(outcome.response, tensors.output);
        tokens += tokensOf(outcome.response, tensors.tokens);
        open--;
        if (open > 0) return;
        over = true;
        reply(jsonReply(200, JSON.stringify(body(name, vectors, format, tokens))));
      }),
    );
  });
  return () => {
    for (const cancel of cancels) cancel();
  };
}

function body(
  model: string,
  vectors: readonly (Float32Array | undefined)[],
  format: 'float' | 'base64',
  tokens: number,
): object {
  const data = vectors.map((vector = new Float32Array(0), index) => ({
    object: 'embedding',
    index,
    embedding:
      format === 'float'
        ? [...vector]
        : Buffer.from(vector.buffer, vector.byteOffset, vector.byteLength).toString('base64'),
  }));
  return { object: 'list', data, model, usage: { prompt_tokens: tokens, total_tokens: tokens } };
}

function vectorOf({ outputs }: InferenceResponse, name: string): Float32Array {
  const tensor = outputs.find((output) => output.name === name);
  if (!tensor) return new Float32Array(0);
  return new Float32Array(Uint8Array.from(tensor.data).buffer);
}

function tokensOf({ outputs }: InferenceResponse, name: string | undefined): number {
  const tensor = outputs.find((output) => output.name === name);
  return tensor ? Buffer.from(tensor.data).readInt32LE() : 0;
}
