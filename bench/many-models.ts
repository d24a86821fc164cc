import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { addSubModel } from '../test/fixtures/onnx-builder.ts';
import type { BenchOptions } from './main.ts';
import { httpTarget, SIMPLE } from './models.ts';
import { type PinnedProcess, startGoodput, untilOpen } from './servers.ts';
import { printTable } from './table.ts';

const MODELS = 1000;
const PORT = 18_000;

/** Time to ready with one small model, and what a thousand of them cost. */
export async function benchMany(_options: BenchOptions): Promise<void> {
  const rows: string[][] = [];
  for (const count of [1, MODELS]) {
    const repository = mkdtempSync(join(tmpdir(), 'goodput-bench-many-'));
    for (let index = 0; index < count; index++) {
      mkdirSync(join(repository, `m${index}`, '1'), { recursive: true });
      writeFileSync(join(repository, `m${index}`, '1', 'model.onnx'), addSubModel('FP32', ['N', 16]));
    }
    const start = performance.now();
    const server = await startGoodput(repository, { http: PORT, grpc: 18_001 });
    const seconds = (performance.now() - start) / 1000;
    try {
      const answered = await askAll(count);
      rows.push([String(count), seconds.toFixed(2), String(answered), (residentMiB(server) / 1024).toFixed(2)]);
    } finally {
      await server.stop();
      rmSync(repository, { recursive: true });
    }
  }
  printTable('Small ONNX models, two instances each', ['models', 'ready after s', 'answered', 'resident GiB'], rows);
}

async function askAll(count: number): Promise<number> {
  await untilOpen(`http://127.0.0.1:${PORT}/v2/health/ready`);
  let answered = 0;
  for (let index = 0; index < count; index++) {
    const { url, headers, body } = httpTarget(PORT, `m${index}`, SIMPLE);
    const response = await fetch(url, { method: 'POST', headers, body: new Uint8Array(body) });
    await response.arrayBuffer();
    if (response.ok) answered++;
  }
  return answered;
}

function residentMiB(server: PinnedProcess): number {
  return Number(/VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${server.pid}/status`, 'utf8'))?.[1] ?? 0) / 1024;
}
