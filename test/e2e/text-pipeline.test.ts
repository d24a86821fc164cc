import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { PYTHON, pythonTest } from '../support/python.ts';
import { call, post, RunningServer } from '../support/running-server.ts';

const MODELS = fileURLToPath(new URL('../../examples/text-pipeline/models', import.meta.url));

describe('the text pipeline', () => {
  let server: RunningServer;
  before(async () => {
    server = await RunningServer.start([`--model-repository=${MODELS}`, `--backend-config=python,python=${PYTHON}`]);
  });
  after(async () => {
    await server.stop();
  });

  const classify = async (pipeline: string, text: string): Promise<string> => {
    const inputs = [{ name: 'text_input', datatype: 'BYTES', shape: [1, 1], data: [text] }];
    const answer = await call(`${server.http}/v2/models/${pipeline}/infer`, post(JSON.stringify({ inputs })));
    const json = JSON.parse(answer.text) as { outputs?: readonly { readonly data: readonly string[] }[] };
    return json.outputs?.[0]?.data[0] ?? answer.text;
  };

  const TEXTS: Readonly<Record<string, RegExp>> = {
    'The striker scored twice in the final': /^sports \(0\.\d\d\)$/,
    'Stocks fell as the central bank raised rates': /^business/,
    'The new télescope found an exoplanet': /^science/,
    'A new processor makes laptops faster': /^technology/,
  };
  for (const pipeline of ['nlp-classification-pipeline', 'nlp-classification-pipeline-node']) {
    for (const [text, expected] of Object.entries(TEXTS)) {
      test(`${pipeline}: ${text}`, async () => {
        assert.match(await classify(pipeline, text), expected);
      });
    }
  }

  test('the tokenizers in Python and in TypeScript agree, also with a reference run of the weights', async () => {
    const { status, output } = await pythonTest('test_text_pipeline.py', 'TextPipeline', {
      HTTP_URL: server.http,
      MINILM: process.env['GOODPUT_TEST_MINILM'] ?? '',
    });
    assert.equal(status, 0, output);
  });

  test("the guide's tokenizer takes a batch, and fails for texts that are not ASCII", async () => {
    const ask = (texts: readonly string[]): ReturnType<typeof call> => {
      const inputs = [{ name: 'text', datatype: 'BYTES', shape: [texts.length, 1], data: texts }];
      return call(`${server.http}/v2/models/tokenizer/infer`, post(JSON.stringify({ inputs })));
    };
    assert.match((await ask(['hello world', 'a'])).text, /"shape":\[2,512\],"data":\[101,7592,2088,102,0,/);
    assert.match((await ask(['é'])).text, /UnicodeDecodeError/);
  });

  test('/v1/embeddings gives the same numbers as the pipeline', async () => {
    const body = { model: 'minilm', input: ['a plain sentence'], encoding_format: 'float' };
    const { text } = await call(`${server.http}/v1/embeddings`, post(JSON.stringify(body)));
    const { data, usage } = JSON.parse(text) as {
      data: readonly { embedding: readonly number[] }[];
      usage: { prompt_tokens: number };
    };
    const length = Math.hypot(...(data[0]?.embedding ?? []));
    assert.ok(Math.abs(length - 1) < 1e-4);
    assert.equal(usage.prompt_tokens, 5);
  });
});
