/** The thread of an instance of a Node model. */
import { parentPort, workerData } from 'node:worker_threads';
import type { FromWorker, RunnerOptions, ToWorker } from './messages.ts';
import { Runner } from './runner.ts';

const port = parentPort;
if (!port) throw new Error('this file runs as a worker thread');
const runner = new Runner(workerData as RunnerOptions, (message: FromWorker) => port.postMessage(message));
port.on('message', (message: ToWorker) => runner.receive(message));
await runner.open();
