/** Tokens a second of `node-llama-cpp` alone: `raw-llama.ts STREAMS TOKENS`. */
import { createRequire } from 'node:module';
import { availableParallelism } from 'node:os';
import { fileURLToPath, pathToFileURL } from 'node:url';
import type { LlamaModule } from '../src/server/backends/node/llama/native.ts';

const [streams = 1, tokens = 64] = process.argv.slice(2).map(Number);
const MODEL = fileURLToPath(new URL('../examples/llm/models/smollm2/1/model.gguf', import.meta.url));
const entry = createRequire(new URL('../optional/llama/', import.meta.url)).resolve('node-llama-cpp');
const native = (await import(pathToFileURL(entry).href)) as LlamaModule;
const llama = await native.getLlama({ gpu: false, build: 'never', skipDownload: true, logLevel: 'error' });
const model = await llama.loadModel({ modelPath: MODEL });
const context = await model.createContext({ sequences: 8, contextSize: 2048, threads: availableParallelism() });
const sequences = Array.from({ length: streams }, () => context.getSequence());
const options = { temperature: 0, yieldEogToken: true };

async function round(): Promise<number> {
  const start = performance.now();
  await Promise.all(
    sequences.map(async (sequence, index) => {
      await sequence.clearHistory();
      let left = tokens;
      const prompt = model.tokenize(`${index}. Once upon a time`, true);
      for await (const _ of sequence.evaluate(prompt, options)) if (--left === 0) break;
    }),
  );
  return (streams * tokens) / ((performance.now() - start) / 1000);
}

await round();
process.stdout.write(String(await round()));
process.exit(0);
