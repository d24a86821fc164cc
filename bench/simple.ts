import type { BenchOptions } from './main.ts';
import { applyLoad, type LoadResult, type LoadTarget, median } from './load.ts';
import { grpcTarget, httpTarget, makeRepository, SIMPLE } from './models.ts';
import { type PinnedProcess, startEchoes, startGoodput } from './servers.ts';
import { note, printTable } from './table.ts';

export interface Contender {
  readonly name: string;
  readonly http: LoadTarget;
  readonly grpc: LoadTarget;
}

/** ONNX add/sub of 16 floats, binary tensors, dynamic batching, one instance; bare echoes of the same bytes beside it. */
export async function benchSimple(options: BenchOptions): Promise<void> {
  const repository = makeRepository();
  const servers: PinnedProcess[] = [
    await startEchoes({ http: 18_100, grpc: 18_101 }),
    await startGoodput(repository, { http: 18_000, grpc: 18_001 }),
  ];
  const on = (name: string, http: number, grpc: number): Contender => ({
    name,
    http: httpTarget(http, 'simple', SIMPLE),
    grpc: grpcTarget(grpc, 'simple', SIMPLE),
  });
  const contenders = [on("Node's echo", 18_100, 18_101), on('Goodput', 18_000, 18_001)];
  if (options.against !== undefined) {
    servers.push(await startGoodput(repository, { http: 18_200, grpc: 18_201 }, options.against));
    contenders.push(on(options.against, 18_200, 18_201));
  }
  if (options.http !== undefined || options.grpc !== undefined) contenders.push(external(options, 'simple', SIMPLE));
  try {
    for (const [protocol, name] of [
      ['http', 'HTTP/1.1'],
      ['grpc', 'gRPC'],
    ] as const) {
      await compare(`simple over ${name}`, protocol, contenders, options, [1, 16, 64], 'echo');
    }
  } finally {
    for (const server of servers) await server.stop();
  }
}

/** Another server, which has a model of the same name. */
export function external(
  { http, grpc }: BenchOptions,
  model: string,
  tensors: Parameters<typeof httpTarget>[2],
): Contender {
  const at = (target: LoadTarget, address: string | undefined): LoadTarget => ({
    ...target,
    url: target.url.replace(/127\.0\.0\.1:\d+/, address ?? '127.0.0.1:1'),
  });
  return {
    name: http ?? grpc ?? '',
    http: at(httpTarget(1, model, tensors), http),
    grpc: at(grpcTarget(1, model, tensors), grpc),
  };
}

/** Measures contenders in turns; the ratios are to the first one. */
export async function compare(
  title: string,
  protocol: 'http' | 'grpc',
  contenders: readonly Contender[],
  options: BenchOptions,
  connectionCounts: readonly number[],
  base: string,
): Promise<void> {
  const rows: string[][] = [];
  for (const connections of connectionCounts) {
    const results = new Map<string, LoadResult[]>(contenders.map(({ name }) => [name, []]));
    const ratios = new Map<string, { perSecond: number[]; p50: number[] }>(
      contenders.map(({ name }) => [name, { perSecond: [], p50: [] }]),
    );
    for (let round = 0; round < options.rounds; round++) {
      let first: LoadResult | undefined;
      for (const contender of contenders) {
        const result = await applyLoad(contender[protocol], connections, options.seconds);
        if (result.failed > 0) throw new Error(`${contender.name} answered ${result.failed} requests with an error`);
        note(`${protocol} ${connections} ${contender.name}: ${result.perSecond.toFixed(0)}/s, p50 ${result.p50Us} us`);
        first ??= result;
        results.get(contender.name)?.push(result);
        ratios.get(contender.name)?.perSecond.push(result.perSecond / first.perSecond);
        ratios.get(contender.name)?.p50.push(result.p50Us / first.p50Us);
      }
    }
    for (const { name } of contenders) {
      const of = (pick: (result: LoadResult) => number): string =>
        median((results.get(name) ?? []).map(pick)).toFixed(0);
      const ratio = ratios.get(name);
      rows.push([
        String(connections),
        name,
        of((result) => result.perSecond),
        of((result) => result.p50Us),
        of((result) => result.p99Us),
        median(ratio?.perSecond ?? []).toFixed(2),
        median(ratio?.p50 ?? []).toFixed(2),
      ]);
    }
  }
  printTable(
    `${title} (medians of ${options.rounds} interleaved runs)`,
    ['connections', 'server', 'infer/s', 'p50 us', 'p99 us', `infer/s to ${base}`, `p50 to ${base}`],
    rows,
  );
}
