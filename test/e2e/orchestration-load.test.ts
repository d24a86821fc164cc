import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { accumulatorModel, addSubModel } from '../fixtures/onnx-builder.ts';
import { call, post, RunningServer } from '../support/running-server.ts';
import { TemporaryRepository } from '../support/temporary-repository.ts';

const SECONDS = Number(process.env['GOODPUT_SOAK_SECONDS'] ?? 4);

function repository(): TemporaryRepository {
  const made = new TemporaryRepository();
  made.model('acc', {
    'config.pbtxt': `backend: "onnxruntime" max_batch_size: 4 input { name: "INPUT" data_type: TYPE_INT32 dims: 1 }
      output { name: "OUTPUT" data_type: TYPE_INT32 dims: 1 } instance_group { kind: KIND_CPU count: 2 }
      sequence_batching { max_sequence_idle_microseconds: 300000
        control_input { name: "START" control { kind: CONTROL_SEQUENCE_START int32_false_true: [ 0, 1 ] } }
        state { input_name: "SUM_IN" output_name: "SUM_OUT" data_type: TYPE_INT32 dims: 1 } }`,
    '1/model.onnx': accumulatorModel(),
  });
  const tensor = (kind: string, name: string): string => `${kind} { name: "${name}" data_type: TYPE_INT32 dims: 4 }`;
  made.model('add', {
    'config.pbtxt': `backend: "onnxruntime" max_batch_size: 8
      dynamic_batching { priority_levels: 2 default_priority_level: 2 max_queue_delay_microseconds: 300 }
      ${tensor('input', 'INPUT0')} ${tensor('input', 'INPUT1')} ${tensor('output', 'OUTPUT0')} ${tensor('output', 'OUTPUT1')}`,
    '1/model.onnx': addSubModel('INT32', ['N', 4]),
  });
  made.identity('pass', 'TYPE_INT32', '4', 'dynamic_batching { }');
  const step = (model: string, inputs: readonly string[], output: string): string =>
    `step { model_name: "${model}" model_version: -1 ${inputs.map((name, index) => `input_map { key: "INPUT${index}" value: "${name}" }`).join(' ')} output_map { key: "OUTPUT0" value: "${output}" } }`;
  return made.model('double', {
    'config.pbtxt': `platform: "ensemble" max_batch_size: 8 ${tensor('input', 'IN')} ${tensor('output', 'OUT')}
      ensemble_scheduling { ${step('pass', ['IN'], 'copy')} ${step('add', ['IN', 'copy'], 'OUT')} }`,
    '1/x': '',
  });
}

test('sequences, ensembles, priorities, vanishing clients and reloads at once: every answer is right', async () => {
  using models = repository();
  await using server = await RunningServer.start([
    '--model-repository',
    models.path,
    '--model-control-mode=explicit',
    '--load-model=*',
  ]);
  const base = `http://${server.http}/v2/models`;
  const end = performance.now() + SECONDS * 1000;
  const done = { sums: 0, doubles: 0, gone: 0, reloads: 0 };
  const infer = async (model: string, body: object, signal?: AbortSignal): Promise<readonly number[]> => {
    const init = { method: 'POST', body: JSON.stringify(body), ...(signal ? { signal } : {}) };
    const response = await fetch(`${base}/${model}/infer`, init);
    const text = await response.text();
    assert.equal(response.status, 200, text);
    return (JSON.parse(text) as { outputs: { data: number[] }[] }).outputs[0]?.data ?? [];
  };
  const input = (name: string, data: readonly number[]): object => ({
    name,
    datatype: 'INT32',
    shape: [1, data.length],
    data,
  });

  const sequences = async (client: number): Promise<void> => {
    for (let round = 0; performance.now() < end; round++) {
      let sum = 0;
      const length = 2 + (round % 5);
      for (let index = 0; index < length; index++) {
        const value = client * 1000 + index;
        sum += value;
        const parameters = {
          sequence_id: `client ${client}`,
          sequence_start: index === 0,
          sequence_end: index === length - 1,
        };
        assert.deepEqual(await infer('acc', { parameters, inputs: [input('INPUT', [value])] }), [sum]);
        done.sums++;
      }
    }
  };
  const doubles = async (client: number): Promise<void> => {
    for (let round = 0; performance.now() < end; round++) {
      const values = [client, round, -round, 7];
      const parameters = { priority: client % 3 };
      const answer = await infer('double', { parameters, inputs: [input('IN', values)] });
      assert.deepEqual(answer, [2 * client, 2 * round, 0 - 2 * round, 14]);
      done.doubles++;
    }
  };
  /** Begins sequences and calls, and goes away: its slots have to come free. */
  const vanishing = async (client: number): Promise<void> => {
    while (performance.now() < end) {
      const gone = new AbortController();
      setTimeout(() => gone.abort(), Math.random() * 8);
      const parameters = { sequence_id: `gone ${client}`, sequence_start: true };
      const answer =
        Math.random() < 0.5
          ? infer('acc', { parameters, inputs: [input('INPUT', [1])] }, gone.signal)
          : infer('double', { inputs: [input('IN', [1, 2, 3, 4])] }, gone.signal);
      await answer.catch(() => done.gone++);
      await sleep(20);
    }
  };
  const reloads = async (): Promise<void> => {
    while (performance.now() < end) {
      await sleep(150);
      for (const name of ['add', 'pass', 'double']) {
        // A file that changes makes the load a real one.
        models.model(name, { '1/touched': String(done.reloads) });
        assert.equal((await call(`${server.http}/v2/repository/models/${name}/load`, post('{}'))).status, 200);
      }
      done.reloads++;
    }
  };
  await Promise.all([
    ...[1, 2, 3, 4, 5, 6].map(sequences),
    ...[1, 2, 3, 4, 5, 6].map(doubles),
    ...[1, 2].map(vanishing),
    reloads(),
  ]);
  assert.ok(Math.min(...Object.values(done)) > 0, JSON.stringify(done));
  // Whatever vanished has freed its slot by now: as many sequences as there are slots start at once.
  await sleep(500);
  const start = (id: number): Promise<readonly number[]> =>
    infer('acc', { parameters: { sequence_id: id, sequence_start: true }, inputs: [input('INPUT', [id])] });
  const all = await Promise.race([Promise.all([1, 2, 3, 4, 5, 6, 7, 8].map(start)), sleep(5000, 'stuck')]);
  assert.deepEqual(all, [[1], [2], [3], [4], [5], [6], [7], [8]]);
});
