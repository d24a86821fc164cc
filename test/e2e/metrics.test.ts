import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { call, post, RunningServer } from '../support/running-server.ts';
import { TemporaryRepository } from '../support/temporary-repository.ts';
import { missingTools } from '../support/missing-tools.ts';

const REQUESTS = 40;
const PROMETHEUS = '127.0.0.1:19090';

interface QueryResult {
  readonly data: {
    readonly result: readonly {
      readonly metric: Readonly<Record<string, string>>;
      readonly value: readonly [number, string];
    }[];
  };
}

describe('metrics', () => {
  const models = new TemporaryRepository();
  let server: RunningServer;
  const one = '{"inputs":[{"name":"INPUT0","datatype":"INT32","shape":[1,1],"data":[1]}]}';
  const metrics = async (): Promise<string> => (await call(`${server.metrics}/metrics`)).text;

  before(async () => {
    models.identity(
      'bert-classifier',
      'TYPE_INT32',
      '[ 1 ]',
      'parameters { key: "execute_delay_ms" value { string_value: "20" } }',
    );
    server = await RunningServer.start(['--model-repository', models.path]);
    const infer = (): Promise<unknown> => call(`${server.http}/v2/models/bert-classifier/infer`, post(one));
    for (let index = 0; index < REQUESTS / 4; index++) await Promise.all([infer(), infer(), infer(), infer()]);
    await call(`${server.http}/v2/models/bert-classifier/infer`, post('{"inputs":[]}'));
  });
  after(async () => {
    await server.stop();
    models[Symbol.dispose]();
  });

  test("Triton's counters and gauges are there with its labels", async () => {
    const text = await metrics();
    const labels = 'model="bert-classifier",version="1"';
    assert.match(text, new RegExp(`nv_inference_request_success\\{${labels}\\} ${REQUESTS}\n`));
    assert.match(text, new RegExp(`nv_inference_count\\{${labels}\\} ${REQUESTS}\n`));
    for (const reason of ['REJECTED', 'CANCELED', 'BACKEND']) {
      assert.match(
        text,
        new RegExp(`nv_inference_request_failure\\{model="bert-classifier",reason="${reason}",version="1"\\} 0\n`),
      );
    }
    assert.match(text, /nv_inference_request_failure\{model="bert-classifier",reason="OTHER",version="1"\} 1\n/);
    assert.match(text, new RegExp(`nv_inference_pending_request_count\\{${labels}\\} 0\n`));
    assert.match(text, /nv_cpu_utilization 0?\.?\d+/);
    assert.match(text, /nv_cpu_memory_total_bytes \d+/);
    const value = (name: string): number => Number(new RegExp(`^${name}\\{${labels}\\} (\\d+)`, 'm').exec(text)?.[1]);
    assert.ok(value('nv_inference_request_duration_us') >= REQUESTS * 19_000);
    assert.ok(value('nv_inference_queue_duration_us') > 0);
    assert.ok(value('nv_inference_compute_infer_duration_us') >= REQUESTS * 19_000);
  });

  test('no family is declared twice, and the true histograms have names of their own', async () => {
    const names = [...(await metrics()).matchAll(/^# TYPE (\S+) (\S+)$/gm)].map((match) => [match[1], match[2]]);
    assert.equal(new Set(names.map(([name]) => name)).size, names.length);
    for (const [name, type] of names) if (type === 'histogram') assert.match(name ?? '', /^goodput_/);
  });

  test('other paths and methods are refused', async () => {
    assert.equal((await call(`${server.metrics}/other`)).status, 404);
    assert.equal((await call(`${server.metrics}/metrics`, { method: 'DELETE' })).status, 405);
  });

  test(
    "a real Prometheus answers the guides' queries with right numbers",
    { skip: missingTools.includes('prometheus') ? 'prometheus is not installed' : false },
    async () => {
      const folder = mkdtempSync(join(tmpdir(), 'goodput-prometheus-'));
      const config = join(folder, 'prometheus.yml');
      writeFileSync(
        config,
        `global:\n  scrape_interval: 1s\nscrape_configs:\n  - job_name: goodput\n    static_configs:\n      - targets: ['${server.metrics}']\n`,
      );
      const prometheus = spawn(
        'prometheus',
        [`--config.file=${config}`, `--storage.tsdb.path=${folder}/data`, `--web.listen-address=${PROMETHEUS}`],
        { stdio: 'ignore' },
      );
      const query = async (text: string): Promise<QueryResult['data']['result']> => {
        const answer = await call(`${PROMETHEUS}/api/v1/query?query=${encodeURIComponent(text)}`);
        return (JSON.parse(answer.text) as QueryResult).data.result;
      };
      try {
        await until(async () => (await query('count_over_time(triton_infer_total_request_count[1m]) >= 3')).length > 0);
        const infer = (): Promise<unknown> => call(`${server.http}/v2/models/bert-classifier/infer`, post(one));
        for (let index = 0; index < 100; index++) await infer();
        await until(async () => Number((await query('triton_infer_success_count'))[0]?.value[1]) === REQUESTS + 100);

        const [quantile] = await query(
          'histogram_quantile(0.99, triton_infer_request_duration_us{model="bert-classifier"})',
        );
        const p99 = Number(quantile?.value[1]);
        assert.ok(p99 > 20_000 && p99 <= 250_000, `p99 of ${p99} us for requests of 20 to 80 ms`);

        const [rate] = await query('rate(triton_infer_total_request_count[1m])');
        assert.ok(Number(rate?.value[1]) > 0);

        const ratios = await query('triton_infer_queue_duration_us / triton_infer_request_duration_us');
        const bare = ratios.filter(({ metric }) => metric['le'] === undefined);
        assert.equal(bare.length, 1);
        const ratio = Number(bare[0]?.value[1]);
        const sums = await query('nv_inference_queue_duration_us / nv_inference_request_duration_us');
        assert.ok(Math.abs(ratio - Number(sums[0]?.value[1])) < 0.01, `${ratio}`);
        assert.ok(ratio > 0 && ratio < 1);
      } finally {
        prometheus.kill('SIGKILL');
      }
    },
  );
});

async function until(check: () => Promise<boolean>): Promise<void> {
  for (let tries = 0; tries < 150; tries++) {
    if (await check().catch(() => false)) return;
    await sleep(200);
  }
  assert.fail('the condition did not come true within 30 s');
}
