import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { LiveView } from './live-view.ts';
import type { PerfOptions } from './options.ts';
import { Recorder } from './recorder.ts';

test('the live view fits its terminal, and leaves nothing behind', async () => {
  let written = '';
  const terminal = { columns: 60, write: (text: string) => void (written += text) };
  const measuring = { kind: 'windows', intervalMs: 1000, requests: 0, stabilityPercent: 10, maxTrials: 10 } as const;
  const view = new LiveView(terminal, { measuring, batchSize: 1 } as PerfOptions);
  const recorder = new Recorder(false);
  view.begin();
  view.windowBegins(recorder, 1);
  for (let request = 0; request < 500; request++) {
    recorder.record({
      intended: 0,
      sent: 0,
      written: 1,
      began: 1,
      end: 2_000_000,
      error: undefined,
      responses: 1,
      responseTimes: [],
      sequenceId: undefined,
      tensors: undefined,
    });
  }
  await sleep(700);
  view.end();
  // oxlint-disable-next-line no-control-regex -- these are the colours
  const lines = written.replaceAll(/\u001b\[[\dA-Z]+m?/g, '').split('\n');
  for (const line of lines) assert.ok(line.length < 60, line);
  assert.match(written, /p99.* 200\d us/);
  assert.match(written, /window 1 of at most 10, \d s to go at least/);
  assert.ok(written.endsWith('\u001b[4A\u001b[0J'), 'the last lines are erased');
});
