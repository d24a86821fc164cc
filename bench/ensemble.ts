import type { BenchOptions } from './main.ts';
import { applyLoad, type LoadResult, median } from './load.ts';
import { httpTarget, makeRepository, SIMPLE, STEP } from './models.ts';
import { startGoodput } from './servers.ts';
import { note, printTable } from './table.ts';

const MODELS = [
  { name: 'one model', model: 'step', tensors: STEP },
  { name: 'ensemble of 3 steps, one after the other', model: 'chain', tensors: STEP },
  { name: 'ensemble of 3 steps, two of them side by side', model: 'fork', tensors: STEP },
  { name: 'simple, its responses cached', model: 'cached', tensors: SIMPLE },
] as const;

/** What the graph costs: models that pass 16 floats on, alone and as the steps of ensembles. */
export async function benchEnsemble(options: BenchOptions): Promise<void> {
  const server = await startGoodput(makeRepository(), { http: 18_000, grpc: 18_001 }, undefined, [
    '--cache-config=local,size=10000000',
  ]);
  const rows: string[][] = [];
  try {
    for (const connections of [1, 16, 64]) {
      const results = new Map<string, LoadResult[]>(MODELS.map(({ name }) => [name, []]));
      for (let round = 0; round < options.rounds; round++) {
        for (const { name, model, tensors } of MODELS) {
          const result = await applyLoad(httpTarget(18_000, model, tensors), connections, options.seconds);
          if (result.failed > 0) throw new Error(`${model} answered ${result.failed} requests with an error`);
          note(`${connections} ${model}: ${result.perSecond.toFixed(0)}/s, p50 ${result.p50Us} us`);
          results.get(name)?.push(result);
        }
      }
      const base = median((results.get(MODELS[0].name) ?? []).map((result) => result.perSecond));
      for (const { name } of MODELS) {
        const of = (pick: (result: LoadResult) => number): number => median((results.get(name) ?? []).map(pick));
        const perSecond = of((result) => result.perSecond);
        rows.push([
          String(connections),
          name,
          perSecond.toFixed(0),
          of((result) => result.p50Us).toFixed(0),
          (perSecond / base).toFixed(2),
        ]);
      }
    }
  } finally {
    await server.stop();
  }
  printTable(
    `Ensembles over HTTP/1.1 (medians of ${options.rounds} interleaved runs)`,
    ['connections', 'what', 'infer/s', 'p50 us', 'to one model'],
    rows,
  );
}
