/**
 * Makes the ONNX models of the text pipeline out of the MiniLM weights of a Python package, and puts the tokenizer's
 * files where the tokenizers look for them.
 *
 *   node examples/text-pipeline/convert.ts FOLDER    FOLDER has model.safetensors, config.json, tokenizer.json, ...
 */
import { copyFileSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Tokenizer } from '@huggingface/tokenizers';
import { InferenceSession, Tensor } from 'onnxruntime-node';
import { type BertConfig, bertEncoder, linearHead } from './bert-graph.ts';
import { readSafetensors } from './safetensors.ts';

/** What each class is about; a text gets the class whose description its embedding is nearest to. */
export const CLASSES: Readonly<Record<string, string>> = {
  sports: 'sports, games, teams, matches and athletes',
  technology: 'technology, computers, software and the internet',
  business: 'business, markets, companies and the economy',
  science: 'science, research, space and discoveries',
  politics: 'politics, governments, elections and laws',
  health: 'health, medicine, diseases and doctors',
};

/** Cosines lie close together: this spreads their softmax. */
const SHARPNESS = 20;

const MODELS = fileURLToPath(new URL('./models/', import.meta.url));
const TOKENIZER_FILES = ['tokenizer.json', 'tokenizer_config.json', 'vocab.txt', 'special_tokens_map.json'];
const TOKENIZERS = ['tokenizer', 'tokenizer-utf8', 'tokenizer-node'];

const [source] = process.argv.slice(2);
if (source === undefined) throw new Error('usage: node examples/text-pipeline/convert.ts FOLDER');

const readJson = (name: string): unknown => JSON.parse(readFileSync(join(source, name), 'utf8'));
const config = { ...(readJson('config.json') as BertConfig) };
const encoder = bertEncoder(config, readSafetensors(join(source, 'model.safetensors')));
write('bert-encoder', encoder);

const tokenizer = new Tokenizer(readJson('tokenizer.json'), readJson('tokenizer_config.json'));
const session = await InferenceSession.create(encoder, { logSeverityLevel: 3 });
const columns: Float32Array[] = [];
for (const description of Object.values(CLASSES)) {
  const ids = BigInt64Array.from(tokenizer.encode(description).ids, BigInt);
  const { embeddings } = await session.run({ input_ids: new Tensor('int64', ids, [1, ids.length]) });
  columns.push(embeddings?.data as Float32Array);
}
const weights = new Float32Array(config.hidden_size * columns.length);
columns.forEach((column, index) => {
  column.forEach((value, row) => (weights[row * columns.length + index] = value * SHARPNESS));
});
write(
  'classifier-head',
  linearHead({ shape: [config.hidden_size, columns.length], values: weights }, new Float32Array(columns.length)),
);
for (const name of TOKENIZERS) {
  const folder = join(MODELS, name, '1', 'files');
  mkdirSync(folder, { recursive: true });
  for (const file of TOKENIZER_FILES) copyFileSync(join(source, file), join(folder, file));
}

function write(model: string, data: Buffer): void {
  const folder = join(MODELS, model, '1');
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, 'model.onnx'), data);
}
