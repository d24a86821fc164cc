/**
 * Side-by-side benchmarks: server on one core, load on the other, runs interleaved, medians.
 *
 *   npm run bench                             this build against bare echoes and onnxruntime-node alone
 *   npm run bench -- --rounds=5 --seconds=4
 *   npm run bench -- --against=DIR            and against another checkout of Goodput
 *   npm run bench -- --http=HOST:PORT --grpc=HOST:PORT   and against any KServe v2 server that serves 'simple'
 *   npm run bench -- --only=simple,compute,large,many,ensemble,backends,llama,perf
 *
 * `backends` beside another server wants a model `noop_python` there: `backends.ts` has its files.
 */
import { parseArgs } from 'node:util';
import { benchBackends } from './backends.ts';
import { benchCompute } from './compute.ts';
import { benchEnsemble } from './ensemble.ts';
import { benchLarge } from './large.ts';
import { benchMany } from './many-models.ts';
import { benchLlama } from './llama.ts';
import { benchPerf } from './perf.ts';
import { benchSimple } from './simple.ts';

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '3' },
    seconds: { type: 'string', default: '3' },
    only: { type: 'string', default: 'simple,compute,large,many,ensemble,backends' },
    against: { type: 'string' },
    http: { type: 'string' },
    grpc: { type: 'string' },
  },
});

export interface BenchOptions {
  readonly rounds: number;
  readonly seconds: number;
  readonly against: string | undefined;
  readonly http: string | undefined;
  readonly grpc: string | undefined;
}

const options: BenchOptions = {
  rounds: Number(values.rounds),
  seconds: Number(values.seconds),
  against: values.against,
  http: values.http,
  grpc: values.grpc,
};

const PARTS: Readonly<Record<string, (options: BenchOptions) => Promise<void>>> = {
  simple: benchSimple,
  compute: benchCompute,
  large: benchLarge,
  many: benchMany,
  ensemble: benchEnsemble,
  backends: benchBackends,
  llama: benchLlama,
  perf: benchPerf,
};

for (const name of values.only.split(',')) {
  const part = PARTS[name];
  if (!part) throw new Error(`unknown part '${name}': one of ${Object.keys(PARTS).join(', ')}`);
  await part(options);
}
