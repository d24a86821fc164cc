import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import { createRingBuffer, RingWriter } from './command-ring.ts';

test('a notification that comes late does not make the reader read what is not there', async () => {
  const buffer = createRingBuffer();
  const url = new URL('./command-ring.ts', import.meta.url).href;
  const reader = new Worker(
    `const { workerData, parentPort } = require('node:worker_threads');
     import(${JSON.stringify(url)}).then(({ RingReader }) => {
       const ring = new RingReader(workerData);
       parentPort.postMessage('ready');
       for (let count = 0; count < 3; count++) parentPort.postMessage(ring.read());
     });`,
    { eval: true, workerData: buffer },
  );
  const seen: unknown[] = [];
  const until = async (count: number): Promise<void> => {
    for (let wait = 0; wait < 400 && seen.length < count; wait++) await sleep(5);
  };
  reader.on('message', (message: unknown) => seen.push(message));
  await until(1);
  const ring = new RingWriter(buffer);
  ring.write(7);
  await until(2);
  // The reader sleeps by now, and has nothing to read.
  for (let times = 0; times < 20; times++) {
    Atomics.notify(new Int32Array(buffer), 0, 1);
    await sleep(2);
  }
  assert.deepEqual(seen, ['ready', 7]);
  ring.write(8);
  ring.write(9);
  await until(4);
  assert.deepEqual(seen, ['ready', 7, 8, 9]);
  await reader.terminate();
});
