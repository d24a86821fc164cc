import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { BenchOptions } from './main.ts';
import { applyLoad, median, SERVER_CORE } from './load.ts';
import { httpTarget, makeRepository, MLP_BATCH, MLP_WIDTH } from './models.ts';
import { startEchoes, startGoodput } from './servers.ts';
import { note, printTable } from './table.ts';

const RAW = fileURLToPath(new URL('./raw-runtime.ts', import.meta.url));

/** Rows a second of onnxruntime-node alone, on the server's core. */
function rawRows(model: string, batch: number, seconds: number): number {
  const output = execFileSync(
    'taskset',
    ['-c', String(SERVER_CORE), process.execPath, RAW, model, String(batch), String(seconds)],
    {
      encoding: 'utf8',
    },
  );
  return Number(output);
}

/** An MLP of four 512-wide layers: against the runtime alone with the same batches, and what dynamic batching gains. */
export async function benchCompute(options: BenchOptions): Promise<void> {
  const repository = makeRepository();
  const model = `${repository}/mlp/1/model.onnx`;
  const port = 18_000;
  const rounds = {
    raw: [] as number[],
    echo: [] as number[],
    bound: [] as number[],
    served: [] as number[],
    single: [] as number[],
    alone: [] as number[],
    share: [] as number[],
    gain: [] as number[],
  };
  const rows = (count: number): { name: string; shape: number[] }[] => [{ name: 'INPUT0', shape: [count, MLP_WIDTH] }];
  for (let round = 0; round < options.rounds; round++) {
    const raw = rawRows(model, MLP_BATCH, options.seconds);
    // What is left of the core for the runtime when Node's own server does nothing but send the same bytes back.
    const echoes = await startEchoes({ http: 18_100, grpc: 18_101 });
    const echo =
      (await applyLoad(httpTarget(18_100, 'mlp', rows(MLP_BATCH)), 4, options.seconds)).perSecond * MLP_BATCH;
    await echoes.stop();
    rounds.echo.push(echo);
    rounds.bound.push(1 / (1 + raw / echo));
    const server = await startGoodput(repository, { http: port, grpc: 18_001 });
    try {
      const served =
        (await applyLoad(httpTarget(port, 'mlp', rows(MLP_BATCH)), 4, options.seconds)).perSecond * MLP_BATCH;
      const single = (await applyLoad(httpTarget(port, 'mlp', rows(1)), 64, options.seconds)).perSecond;
      const alone = (await applyLoad(httpTarget(port, 'mlp_nobatch', rows(1)), 64, options.seconds)).perSecond;
      note(
        `compute: raw ${raw.toFixed(0)} rows/s, served ${served.toFixed(0)}, single rows batched ${single.toFixed(0)}, unbatched ${alone.toFixed(0)}`,
      );
      rounds.raw.push(raw);
      rounds.served.push(served);
      rounds.single.push(single);
      rounds.alone.push(alone);
      rounds.share.push(served / raw);
      rounds.gain.push(single / alone);
    } finally {
      await server.stop();
    }
  }
  printTable(
    `MLP 4 x ${MLP_WIDTH} on one core (medians of ${options.rounds} interleaved runs)`,
    ['what', 'rows/s', 'ratio'],
    [
      [`onnxruntime-node alone, batches of ${MLP_BATCH}`, median(rounds.raw).toFixed(0), ''],
      [
        "Node's echo of the same bytes, 4 connections",
        median(rounds.echo).toFixed(0),
        `${median(rounds.bound).toFixed(2)} of the runtime alone is what echo and runtime in turn would reach`,
      ],
      [
        `Goodput, requests of ${MLP_BATCH} rows, 4 connections`,
        median(rounds.served).toFixed(0),
        `${median(rounds.share).toFixed(2)} of the runtime alone`,
      ],
      ['Goodput, one row a request, 64 connections, no batching', median(rounds.alone).toFixed(0), ''],
      [
        'Goodput, one row a request, 64 connections, dynamic batching',
        median(rounds.single).toFixed(0),
        `${median(rounds.gain).toFixed(2)} of no batching`,
      ],
    ],
  );
}
