import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Tokenizer } from '@huggingface/tokenizers';
import { defineModel } from 'goodput/model';

const MOST_TOKENS = 512;

export default defineModel({
  inputs: { text: { type: 'BYTES', dims: [1] } },
  outputs: {
    input_ids: { type: 'INT64', dims: [-1] },
    num_input_tokens: { type: 'INT32', dims: [1] },
  },
  maxBatchSize: 32,
  load({ directory }) {
    const read = (name: string): object => JSON.parse(readFileSync(join(directory, 'files', name), 'utf8')) as object;
    const tokenizer = new Tokenizer(read('tokenizer.json'), read('tokenizer_config.json'));
    const end = tokenizer.token_to_id('[SEP]') ?? 0;
    return { tokenizer, end };
  },
  run({ inputs }, { state: { tokenizer, end } }) {
    const rows = inputs.text.values.map((text) => {
      const { ids } = tokenizer.encode(text);
      return ids.length <= MOST_TOKENS ? ids : [...ids.slice(0, MOST_TOKENS - 1), end];
    });
    const width = Math.max(...rows.map((row) => row.length));
    const values = new BigInt64Array(rows.length * width);
    rows.forEach((row, index) => values.set(row.map(BigInt), index * width));
    return {
      input_ids: { shape: [rows.length, width], values },
      num_input_tokens: { shape: [rows.length, 1], values: Int32Array.from(rows, (row) => row.length) },
    };
  },
});
