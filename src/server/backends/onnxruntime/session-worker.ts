/**
 * A worker thread that owns ONNX Runtime sessions. It handles one command at a time, in order, and answers each
 * `load`, `unload` and run with exactly one message, so the other side needs no ids to match answers. It sleeps on the
 * command ring, never in an event loop: everything it does is synchronous.
 */
import { createRequire } from 'node:module';
import { parentPort, receiveMessageOnPort, workerData } from 'node:worker_threads';
import { errorMessage } from '../../../core/index.ts';
import { MESSAGE, RingReader } from './command-ring.ts';
import type { FromWorker, ToWorker } from './messages.ts';
import { describeSession, loadNativeRuntime, type NativeSession } from './native-runtime.ts';
import { type PreparedSlot, prepareSlot, runSlot } from './prepared-slot.ts';

const port = parentPort;
if (!port) throw new Error('session-worker must run in a worker thread');

const runtime = loadNativeRuntime(createRequire(import.meta.url));
const sessions = new Map<number, NativeSession>();
const slots = new Map<number, PreparedSlot>();
const ring = new RingReader(workerData as SharedArrayBuffer);

for (;;) {
  const answer = guarded(ring.read());
  if (answer !== undefined) port.postMessage(answer);
}

function guarded(entry: number): FromWorker | undefined {
  try {
    return entry === MESSAGE ? handle(nextMessage()) : runDefined(entry);
  } catch (error) {
    return { kind: 'failed', message: errorMessage(error) };
  }
}

/** The message that a ring entry announced; it was posted before the entry was written. */
function nextMessage(): ToWorker {
  for (;;) {
    const received = port && receiveMessageOnPort(port);
    if (received) return received.message as ToWorker;
  }
}

function runDefined(id: number): FromWorker {
  const slot = slots.get(id);
  if (!slot) throw new Error(`slot ${id} is not defined`);
  return answerOf(slot);
}

function handle(message: ToWorker): FromWorker | undefined {
  switch (message.kind) {
    case 'load': {
      const session = runtime.load(message.path, message.options);
      sessions.set(message.session, session);
      return { kind: 'loaded', info: describeSession(session) };
    }
    case 'unload': {
      const session = sessions.get(message.session);
      sessions.delete(message.session);
      for (const [id, slot] of slots) if (slot.session === message.session) slots.delete(id);
      session?.dispose();
      return { kind: 'done' };
    }
    case 'define':
      slots.set(message.slot, prepareSlot(runtime, message.session, message.layout));
      return undefined;
    case 'forget':
      slots.delete(message.slot);
      return undefined;
    case 'run-once':
      return answerOf(prepareSlot(runtime, message.session, message.layout));
    default:
      return message satisfies never;
  }
}

/** The answer to a run: a bare number when there is nothing to tell but the time it took. */
function answerOf(slot: PreparedSlot): FromWorker {
  const session = sessions.get(slot.session);
  if (!session) throw new Error('the session is not loaded');
  const result = runSlot(runtime, session, slot);
  return slot.direct ? result.inferNs : { kind: 'result', ...result };
}
