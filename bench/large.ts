import type { BenchOptions } from './main.ts';
import { applyLoad, median } from './load.ts';
import { httpTarget, LARGE_BYTES, makeRepository, SIMPLE } from './models.ts';
import { startEchoes, startGoodput } from './servers.ts';
import { note, printTable } from './table.ts';

/**
 * A 16 MiB tensor in and out over HTTP, and what a stream of them does to a small model beside it. The stream keeps both
 * cores busy, so a bare echo in a process of its own, which shares nothing but the cores, is measured beside it too.
 */
export async function benchLarge(options: BenchOptions): Promise<void> {
  const repository = makeRepository();
  const port = 18_000;
  const elements = LARGE_BYTES / 4;
  const server = await startGoodput(repository, { http: port, grpc: 18_001 });
  const echoes = await startEchoes({ http: 18_100, grpc: 18_101 });
  const echo = httpTarget(18_100, 'simple', SIMPLE);
  const onnx = httpTarget(port, 'large', [{ name: 'INPUT0', shape: [elements] }]);
  const identity = httpTarget(port, 'identity', [{ name: 'INPUT0', shape: [elements] }]);
  const small = httpTarget(port, 'simple', SIMPLE);
  const rates = { onnx: [] as number[], identity: [] as number[] };
  const tails = { alone: [] as number[], beside: [] as number[], control: [] as number[], ratio: [] as number[] };
  try {
    for (let round = 0; round < options.rounds; round++) {
      rates.onnx.push((await applyLoad(onnx, 1, options.seconds)).perSecond);
      rates.identity.push((await applyLoad(identity, 1, options.seconds)).perSecond);
      const alone = await applyLoad(small, 4, options.seconds);
      const [beside] = await Promise.all([
        applyLoad(small, 4, options.seconds),
        applyLoad(identity, 1, options.seconds, true),
      ]);
      const [control] = await Promise.all([
        applyLoad(echo, 4, options.seconds),
        applyLoad(identity, 1, options.seconds, true),
      ]);
      note(
        `large: onnx ${rates.onnx.at(-1)}/s, identity ${rates.identity.at(-1)}/s; small p99 ${alone.p99Us} us alone, ${beside.p99Us} us beside; echo ${control.p99Us} us beside`,
      );
      tails.control.push(control.p99Us);
      tails.alone.push(alone.p99Us);
      tails.beside.push(beside.p99Us);
      tails.ratio.push(beside.p99Us / alone.p99Us);
    }
  } finally {
    await server.stop();
    await echoes.stop();
  }
  printTable(
    `16 MiB in and out over HTTP (medians of ${options.rounds} runs)`,
    ['what', 'a second', 'p99 us', 'ratio'],
    [
      ['ONNX identity', median(rates.onnx).toFixed(1), '', ''],
      ['identity backend', median(rates.identity).toFixed(1), '', ''],
      ['simple, 4 connections, alone', '', median(tails.alone).toFixed(0), ''],
      [
        'simple, 4 connections, while 16 MiB bodies stream in',
        '',
        median(tails.beside).toFixed(0),
        `${median(tails.ratio).toFixed(2)} of alone`,
      ],
      ['bare echo in its own process, 4 connections, beside the same stream', '', median(tails.control).toFixed(0), ''],
    ],
  );
}
