import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { executionUnit } from '../../../../test/support/execution-unit.ts';
import { setTimeout as sleep } from 'node:timers/promises';
import { create } from '@bufbuild/protobuf';
import { identityModel } from '../../../../test/fixtures/onnx-builder.ts';
import { ModelConfigSchema } from '../../../protocol/index.ts';
import { OnnxInstance } from './instance.ts';
import { sessionOptionsOf } from './session-options.ts';
import type { SessionThread } from './session-thread.ts';
import { type Resident, ThreadPool } from './thread-pool.ts';

class FakeResident implements Resident {
  busyNs = 0;
  thread: SessionThread | undefined;

  takeBusyNs(): number {
    const busy = this.busyNs;
    this.busyNs = 0;
    return busy;
  }

  async moveTo(thread: SessionThread): Promise<void> {
    this.thread = thread;
  }
}

test('a busy instance on a shared thread changes places with an idle one that has its own', async () => {
  await using pool = new ThreadPool({ dedicated: 1, shared: 1 });
  const [first, second] = [new FakeResident(), new FakeResident()];
  const own = pool.acquire();
  pool.settle(first, own);
  const common = pool.acquire();
  pool.settle(second, common);
  assert.deepEqual([own.kind, common.kind], ['dedicated', 'shared']);

  await pool.rebalance();
  assert.equal(second.thread, undefined, 'nothing moves while nothing is busy');

  second.busyNs = 500_000_000;
  await pool.rebalance();
  assert.equal(first.thread, common.thread);
  assert.ok(second.thread && second.thread !== common.thread);

  second.busyNs = 500_000_000;
  first.busyNs = 400_000_000;
  const settled = second.thread;
  await pool.rebalance();
  assert.equal(second.thread, settled, 'two busy instances stay where they are');
});

test('threads that nobody needs wait for the next instances, two at most', async () => {
  await using pool = new ThreadPool({ dedicated: 3, shared: 1 });
  const homes = [pool.acquire(), pool.acquire(), pool.acquire()];
  for (const home of homes) await pool.release(home);
  const threads = homes.map((home) => home.thread);
  const again = [pool.acquire(), pool.acquire()];
  assert.deepEqual(
    again.map((home) => home.thread === threads[1] || home.thread === threads[0]),
    [true, true],
  );
  const fresh = pool.acquire();
  assert.ok(!threads.includes(fresh.thread));
  await fresh.thread[Symbol.asyncDispose]();
  await pool.release(fresh);
  const next = pool.acquire();
  assert.ok(next.thread.alive, 'a dead thread is not used again');
  for (const home of [...again, next]) await pool.release(home);
});

test('an instance whose thread dies fails what it runs, then goes on on another thread', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'goodput-thread-'));
  const path = join(folder, 'model.onnx');
  writeFileSync(path, identityModel('INT32', ['N', 1]));
  const options = sessionOptionsOf(create(ModelConfigSchema), 1, new Map());
  await using pool = new ThreadPool({ dedicated: 1, shared: 1 });
  const home = pool.acquire();
  const { session, info } = await home.thread.load(path, options);
  const plan = {
    name: 'i',
    path,
    options,
    outputs: info.outputs,
    batching: true,
    scalars: new Set<string>(),
    ragged: undefined,
    fixedShapes: true,
    mayInline: false,
  };
  const instance = new OnnxInstance(plan, home.thread, session, pool);
  pool.settle(instance, home);
  const run = (): Promise<string> =>
    new Promise((resolve) => {
      let answer = '';
      const unit = executionUnit({
        inputs: [{ name: 'INPUT0', datatype: 'INT32', shape: [1, 1], data: Uint8Array.of(7, 0, 0, 0) }],
        respond: ([output]) => (answer = `value ${output?.data[0]}`),
        fail: (error) => (answer = error.message),
      });
      instance.execute([unit], () => resolve(answer));
    });
  assert.equal(await run(), 'value 7');
  await home.thread[Symbol.asyncDispose]();
  assert.match(await run(), /worker thread has stopped/);
  let answer = await run();
  for (let tries = 0; tries < 100 && answer !== 'value 7'; tries++) {
    await sleep(20);
    answer = await run();
  }
  assert.equal(answer, 'value 7');
  rmSync(folder, { recursive: true });
});
