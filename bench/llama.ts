import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { BenchOptions } from './main.ts';
import { median } from './load.ts';
import { startGoodput } from './servers.ts';
import { note, printTable } from './table.ts';

const RAW = fileURLToPath(new URL('./raw-llama.ts', import.meta.url));
const MODELS = fileURLToPath(new URL('../examples/llm/models', import.meta.url));
const TOKENS = 64;
const PORT = 18_000;
/** Generating takes all the cores that there are. */
const CORES = '0,1';

/** Tokens a second of `streams` answers at a time. */
async function served(streams: number): Promise<number> {
  const start = performance.now();
  await Promise.all(
    Array.from({ length: streams }, async (_, index) => {
      const body = { text_input: `${index}. Once upon a time`, max_tokens: TOKENS, ignore_eos: true, temperature: 0 };
      const response = await fetch(`http://127.0.0.1:${PORT}/v2/models/smollm2/generate`, {
        method: 'POST',
        body: JSON.stringify(body),
      });
      if (!response.ok) throw new Error(await response.text());
      await response.text();
    }),
  );
  return (streams * TOKENS) / ((performance.now() - start) / 1000);
}

/** SmolLM2 on two cores: the server beside `node-llama-cpp` alone, one answer at a time and eight. */
export async function benchLlama(options: BenchOptions): Promise<void> {
  const rates = new Map<string, number[]>();
  const add = (what: string, rate: number): void => {
    rates.set(what, [...(rates.get(what) ?? []), rate]);
    note(`llama: ${what} ${rate.toFixed(1)} tokens/s`);
  };
  for (let round = 0; round < options.rounds; round++) {
    for (const streams of [1, 8]) {
      const output = execFileSync('taskset', ['-c', CORES, process.execPath, RAW, String(streams), String(TOKENS)], {
        encoding: 'utf8',
      });
      add(`alone, ${streams}`, Number(output));
    }
    const server = await startGoodput(MODELS, { http: PORT, grpc: 18_001 }, undefined, [], CORES);
    try {
      await served(8);
      for (const streams of [1, 8]) add(`served, ${streams}`, await served(streams));
    } finally {
      await server.stop();
    }
  }
  const of = (what: string): number => median(rates.get(what) ?? []);
  printTable(
    `SmolLM2-135M on two cores, answers of ${TOKENS} tokens (medians of ${options.rounds} interleaved runs)`,
    ['answers at a time', 'node-llama-cpp alone, tokens/s', 'Goodput, tokens/s', 'ratio'],
    [1, 8].map((streams) => {
      const [alone, through] = [of(`alone, ${streams}`), of(`served, ${streams}`)];
      return [String(streams), alone.toFixed(1), through.toFixed(1), (through / alone).toFixed(2)];
    }),
  );
}
