import assert from 'node:assert/strict';
import { test } from 'node:test';
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
