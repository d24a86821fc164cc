import assert from 'node:assert/strict';
import { symlinkSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import OpenAI from 'openai';
import { pythonTest } from '../support/python.ts';
import { call, post, RunningServer } from '../support/running-server.ts';
import { TemporaryRepository } from '../support/temporary-repository.ts';

const MODEL = fileURLToPath(new URL('../../examples/llm/models/smollm2/1/model.gguf', import.meta.url));
const ASK = [{ role: 'user', content: 'Say hello.' }] as const;

/** SmolLM2 as the model `llm`, and models that are no language models. */
function repository(): TemporaryRepository {
  const models = new TemporaryRepository();
  mkdirSync(join(models.path, 'llm', '1'), { recursive: true });
  symlinkSync(MODEL, join(models.path, 'llm', '1', 'model.gguf'));
  models.model('llm', {
    'config.pbtxt': `backend: "llama"
      parameters { key: "parallel" value { string_value: "2" } }
      parameters { key: "context_length" value { string_value: "256" } }`,
  });
  models.identity('plain', 'TYPE_FP32', '1');
  models.model('broken', { '1/model.gguf': 'not a model' });
  models.model('embedder', {
    '1/model.mjs': `export default {
      inputs: { text: { type: 'BYTES', dims: [1] } },
      outputs: { embedding: { type: 'FP32', dims: [2] }, num_input_tokens: { type: 'INT32', dims: [1] } },
      maxBatchSize: 4,
      run({ inputs: { text } }) {
        if (text.values[0] === 'bad') throw new Error('a bad text');
        return { embedding: { shape: [1, 2], values: Float32Array.of(text.values[0].length, 0.5) }, num_input_tokens: { shape: [1, 1], values: Int32Array.of(3) } };
      },
    };`,
  });
  return models;
}

describe('a GGUF model and the OpenAI endpoints', () => {
  const models = repository();
  let server: RunningServer;
  let client: OpenAI;
  before(async () => {
    server = await RunningServer.start([`--model-repository=${models.path}`]);
    client = new OpenAI({ baseURL: `http://${server.http}/v1`, apiKey: 'none', maxRetries: 0 });
  });
  after(async () => {
    await server.stop();
    models[Symbol.dispose]();
  });

  const generate = async (body: object, kind = 'generate'): Promise<string> =>
    (await call(`${server.http}/v2/models/llm/${kind}`, post(JSON.stringify({ temperature: 0, ...body })))).text;

  test('generate: the text goes on, within max_tokens', async () => {
    const answer = JSON.parse(await generate({ text_input: 'The capital of France is', max_tokens: 6 })) as {
      text_output: string;
      finish_reason: string;
      num_output_tokens: number;
    };
    assert.match(answer.text_output, /^The capital of France is Paris/);
    assert.deepEqual([answer.finish_reason, answer.num_output_tokens], ['length', 6]);
    assert.match(
      await generate({ text_input: 'The capital of France is', max_tokens: 6, exclude_input_in_output: true }),
      /"text_output":" Paris/,
    );
  });

  test('generate_stream: the pieces are the same text', async () => {
    const whole = JSON.parse(
      await generate({ text_input: '1 2 3 4', max_tokens: 12, exclude_input_in_output: true }),
    ) as { text_output: string };
    const events = (await generate({ text_input: '1 2 3 4', max_tokens: 12, stream: true }, 'generate_stream'))
      .split('\n\n')
      .filter((line) => line !== '')
      .map((line) => JSON.parse(line.slice('data: '.length)) as { text_output: string; finish_reason: string });
    assert.ok(events.length > 4);
    assert.equal(events.map((event) => event.text_output).join(''), whole.text_output);
    assert.equal(events.at(-1)?.finish_reason, 'length');
  });

  test('sampling: the same seed gives the same text, another one another', async () => {
    const sample = (seed: number): Promise<string> =>
      generate({ text_input: 'Once upon a time', max_tokens: 16, temperature: 1.5, seed });
    assert.equal(await sample(1), await sample(1));
    assert.notEqual(await sample(1), await sample(2));
  });

  test('the settings come as inputs, as parameters, or as the JSON of sampling_parameters', async () => {
    const text = '{"max_tokens": 3, "temperature": 0}';
    assert.match(await generate({ text_input: 'a b c', sampling_parameters: text }), /"num_output_tokens":3/);
  });

  const REFUSALS: readonly (readonly [object, RegExp])[] = [
    [{}, /needs one of the inputs 'text_input' and 'messages'/],
    [{ text_input: 'x', temperature: -1 }, /temperature must be a number from 0 to 100, got -1/],
    [{ text_input: 'x', sampling_parameters: 'x' }, /sampling_parameters must be a JSON object, got 'x'/],
    [{ text_input: 'a '.repeat(400) }, /the prompt has 401 tokens, the context of model 'llm' holds 256/],
    [{ text_input: '' }, /the prompt for model 'llm' is empty/],
    [{ messages: '[]' }, /must be a JSON array of \{ role, content \}, and not empty/],
  ];
  for (const [body, message] of REFUSALS) {
    test(`refuses ${JSON.stringify(body).slice(0, 40)}`, async () => {
      assert.match(await generate(body), message);
    });
  }

  test('more requests than slots are all answered', async () => {
    const answers = await Promise.all(
      Array.from({ length: 5 }, (_, index) => generate({ text_input: `${index} ${index + 1}`, max_tokens: 4 })),
    );
    for (const answer of answers) assert.match(answer, /"num_output_tokens":4/);
  });

  test('a slot is free again when the client goes away', async () => {
    const controllers = Array.from({ length: 4 }, () => new AbortController());
    const waiting = controllers.map(({ signal }) =>
      fetch(`http://${server.http}/v2/models/llm/generate`, {
        ...post(JSON.stringify({ text_input: 'Tell me a story', ignore_eos: true, max_tokens: 250 })),
        signal,
      }).catch(() => undefined),
    );
    await sleep(300);
    for (const controller of controllers) controller.abort();
    await Promise.all(waiting);
    assert.match(await generate({ text_input: 'a b c', max_tokens: 2 }), /"num_output_tokens":2/);
  });

  test('the metrics have tokens and the use of the context memory', async () => {
    const { text } = await call(`${server.metrics}/metrics`);
    assert.match(text, /goodput_llama_tokens_total\{model="llm",kind="generated"\} [1-9]/);
    assert.match(text, /goodput_llama_kv_cache_capacity_tokens\{model="llm"\} 512/);
    assert.match(text, /goodput_llama_kv_cache_tokens\{model="llm"\} [1-9]/);
    assert.match(text, /goodput_llama_tokens_per_second\{model="llm"\} [1-9]/);
  });

  test('the openai client chats', async () => {
    assert.deepEqual((await client.models.list()).data.map(({ id }) => id).toSorted(), ['embedder', 'llm']);
    assert.equal((await client.models.retrieve('llm')).object, 'model');
    const answer = await client.chat.completions.create({
      model: 'llm',
      messages: [...ASK],
      max_tokens: 5,
      temperature: 0,
      logprobs: true,
      top_logprobs: 2,
    });
    const [choice] = answer.choices;
    assert.equal(choice?.message.role, 'assistant');
    assert.match(choice?.message.content ?? '', /^Hello/);
    assert.equal(choice?.finish_reason, 'length');
    assert.equal(choice?.logprobs?.content?.length, 5);
    assert.equal(choice?.logprobs?.content?.[0]?.top_logprobs.length, 2);
    assert.deepEqual(answer.usage?.completion_tokens, 5);
    assert.equal(answer.usage?.total_tokens, (answer.usage?.prompt_tokens ?? 0) + 5);
  });

  test('the openai client streams, with usage, and gets the same text', async () => {
    const request = { model: 'llm', messages: [...ASK], max_tokens: 12, temperature: 0 };
    const whole = await client.chat.completions.create(request);
    const stream = await client.chat.completions.create({
      ...request,
      stream: true,
      stream_options: { include_usage: true },
    });
    let text = '';
    const reasons: (string | null)[] = [];
    let tokens = 0;
    for await (const event of stream) {
      text += event.choices[0]?.delta.content ?? '';
      if (event.choices[0]) reasons.push(event.choices[0].finish_reason);
      if (event.usage) tokens = event.usage.completion_tokens;
    }
    assert.equal(text, whole.choices[0]?.message.content);
    assert.equal(reasons.at(-1), 'length');
    assert.equal(reasons.filter((reason) => reason !== null).length, 1);
    assert.equal(tokens, 12);
  });

  test('the openai client completes: several prompts, several choices, stop texts, echo', async () => {
    const several = await client.completions.create({
      model: 'llm',
      prompt: ['1 2 3', 'a b c'],
      n: 2,
      max_tokens: 4,
      logprobs: 1,
      temperature: 0.5,
    });
    assert.deepEqual(
      several.choices.map(({ index }) => index),
      [0, 1, 2, 3],
    );
    assert.equal(several.usage?.completion_tokens, 16);
    assert.equal(several.choices[0]?.logprobs?.tokens?.length, 4);
    const stopped = await client.completions.create({
      model: 'llm',
      prompt: '1, 2, 3, 4,',
      max_tokens: 30,
      stop: [' 7'],
      temperature: 0,
      echo: true,
    });
    assert.equal(stopped.choices[0]?.text, '1, 2, 3, 4, 5, 6,');
    assert.equal(stopped.choices[0]?.finish_reason, 'stop');
  });

  test('the openai client gets embeddings', async () => {
    const { data, usage } = await client.embeddings.create({ model: 'embedder', input: ['a', 'abc'] });
    assert.deepEqual(
      data.map(({ embedding }) => embedding),
      [
        [1, 0.5],
        [3, 0.5],
      ],
    );
    assert.equal(usage.prompt_tokens, 6);
    await assert.rejects(client.embeddings.create({ model: 'embedder', input: ['a', 'bad'] }), /a bad text/);
  });

  const MISTAKES: readonly (readonly [string, object, number, string | null, RegExp])[] = [
    ['chat/completions', { model: 'nobody', messages: ASK }, 404, null, /'nobody' is not found/],
    ['chat/completions', { model: 'llm' }, 400, 'messages', /must be a list of messages/],
    ['chat/completions', { messages: ASK }, 400, 'model', /'model' must be a text/],
    ['chat/completions', { model: 'llm', messages: [{ content: 'x' }] }, 400, 'messages[0].role', /must have a role/],
    ['chat/completions', { model: 'llm', messages: ASK, n: 0 }, 400, 'n', /from 1 to 128, got 0/],
    ['chat/completions', { model: 'llm', messages: ASK, tools: [{}] }, 400, 'tools', /not supported/],
    ['chat/completions', { model: 'llm', messages: ASK, top_logprobs: 2 }, 400, 'top_logprobs', /needs 'logprobs'/],
    ['chat/completions', { model: 'llm', messages: ASK, stop: ['1', '2', '3', '4', '5'] }, 400, 'stop', /at most 4/],
    [
      'chat/completions',
      { model: 'llm', messages: ASK, response_format: { type: 'json_object' } },
      400,
      'response_format',
      /must be of type 'text'/,
    ],
    ['chat/completions', { model: 'plain', messages: ASK }, 400, 'model', /does not generate text/],
    ['completions', { model: 'llm', prompt: 'x', stream: 'yes' }, 400, 'stream', /must be true or false/],
    ['completions', { model: 'llm', prompt: [[1, 2]] }, 400, 'prompt', /a text or a list of texts/],
    ['embeddings', { model: 'plain', input: 'x' }, 400, 'model', /makes no embeddings/],
    ['embeddings', { model: 'embedder', input: [] }, 400, 'input', /1 to 2048 texts/],
  ];
  for (const [path, body, status, param, message] of MISTAKES) {
    test(`a mistake is told in OpenAI's form: ${path} ${JSON.stringify(body).slice(0, 60)}`, async () => {
      const answer = await call(`${server.http}/v1/${path}`, post(JSON.stringify(body)));
      const { error } = JSON.parse(answer.text) as { error: { message: string; type: string; param: string | null } };
      assert.deepEqual([answer.status, error.type, error.param], [status, 'invalid_request_error', param]);
      assert.match(error.message, message);
    });
  }

  test('other paths and methods are told, too', async () => {
    assert.equal((await call(`${server.http}/v1/nothing`)).status, 404);
    assert.equal((await call(`${server.http}/v1/chat/completions`)).status, 405);
    assert.equal((await call(`${server.http}/v1/models/none`)).status, 404);
    assert.match((await call(`${server.http}/v1/completions`, post('{'))).text, /the request body is not JSON/);
  });

  test('the Python openai client chats, streams and sees errors', async () => {
    const { status, output } = await pythonTest('test_openai.py', 'OpenAi', { BASE_URL: `http://${server.http}/v1` });
    assert.equal(status, 0, output);
  });

  test('a file that is no model fails alone', async () => {
    const { text } = await call(`${server.http}/v2/repository/index`, post(''));
    assert.match(text, /"name":"broken","version":"1","state":"UNAVAILABLE"/);
  });
});
