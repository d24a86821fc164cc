import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import { UsageError } from './flags.ts';

const USAGE = 'usage: goodput new model DIR/NAME [--stream]';

const PLAIN = `import { defineModel, ModelError } from 'goodput/model';

export default defineModel({
  // What clients send and get; goes into the model's configuration, so that it needs no config.pbtxt.
  inputs: { TEXT: { type: 'BYTES', dims: [1] } },
  outputs: { WORDS: { type: 'INT32', dims: [1] } },
  maxBatchSize: 8,

  // Called once per instance: read files beside this one (\`directory\`), make what \`run\` needs.
  load({ name, log }) {
    log.info(\`\${name} is here\`);
    return { separator: /\\s+/ };
  },

  // Called for each request; with more than one in a batch, side by side. \`await infer({ model: ... })\` asks other models.
  run({ inputs }, { state }) {
    const [text = ''] = inputs.TEXT.values;
    if (text.trim() === '') throw new ModelError('INVALID_ARG', 'TEXT must have a word');
    return { WORDS: { shape: [1, 1], values: Int32Array.of(text.trim().split(state.separator).length) } };
  },
});
`;

const STREAM = `import { defineModel } from 'goodput/model';

export default defineModel({
  // What clients send and get; goes into the model's configuration, so that it needs no config.pbtxt.
  inputs: { TEXT: { type: 'BYTES', dims: [1] } },
  outputs: { WORD: { type: 'BYTES', dims: [1] } },
  // Requests that are answered at a time.
  concurrency: 16,

  // Every \`yield\` is a response. \`signal\` aborts when the client has gone.
  async *stream({ inputs, signal }) {
    const [text = ''] = inputs.TEXT.values;
    for (const word of text.split(/\\s+/)) {
      if (signal.aborted) return;
      yield { WORD: { shape: [1], values: [word] } };
    }
  },
});
`;

/** `goodput new model DIR/NAME`: writes a model in TypeScript that works as it is. */
export function newCommand(argv: readonly string[]): number {
  const stream = argv.includes('--stream');
  const [kind, path, ...rest] = argv.filter((argument) => argument !== '--stream');
  if (kind !== 'model' || path === undefined || rest.length > 0) throw new UsageError(USAGE);
  const folder = resolve(path);
  const name = basename(folder);
  if (existsSync(folder)) throw new UsageError(`${folder} is there already`);
  const file = join(folder, '1', 'model.ts');
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, stream ? STREAM : PLAIN);
  const input = '{"TEXT":"one two three"}';
  process.stdout.write(`Wrote ${file}

  goodput serve --model-repository ${dirname(folder)}
  curl localhost:8000/v2/models/${name}/${stream ? 'generate_stream' : 'generate'} -d '${input}'
`);
  return 0;
}
