/** Serves examples/quickstart and sends real inputs through it: what `npm start` runs. */
import { type ChildProcess, spawn } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { infer, output } from './client.ts';
import { readImage } from './ocr.ts';
import { detectSpeech, sparkline } from './vad.ts';

const path = (relative: string): string => fileURLToPath(new URL(relative, import.meta.url));
const HTTP = 'http://127.0.0.1:8000';
const METRICS = 'http://127.0.0.1:8002/metrics';
const START_TIMEOUT_MS = 60_000;

const once = process.argv.includes('--once');
const colour = process.stdout.isTTY
  ? (code: number, text: string) => `\x1b[${code}m${text}\x1b[0m`
  : (_: number, text: string) => text;
const bold = (text: string): string => colour(1, text);
const dim = (text: string): string => colour(2, text);
const say = (text = ''): void => void process.stdout.write(`${text}\n`);

function startServer(): ChildProcess {
  return spawn(
    process.execPath,
    [path('../../src/cli/main.ts'), 'serve', '--model-repository', path('../quickstart'), '--log-info=false'],
    { stdio: 'inherit' },
  );
}

async function untilReady(server: ChildProcess): Promise<number> {
  const start = performance.now();
  while (performance.now() - start < START_TIMEOUT_MS) {
    if (server.exitCode !== null) throw new Error('the server did not start: is another one using ports 8000 to 8002?');
    const ready = await fetch(`${HTTP}/v2/health/ready`).then(
      (response) => response.ok,
      () => false,
    );
    if (ready) return performance.now() - start;
    await sleep(50);
  }
  throw new Error(`the server was not ready after ${START_TIMEOUT_MS / 1000} s`);
}

async function timed<T>(title: string, work: () => Promise<T>): Promise<T> {
  say();
  say(bold(title));
  const start = performance.now();
  const result = await work();
  say(dim(`  ${(performance.now() - start).toFixed(0)} ms`));
  return result;
}

async function demonstrate(): Promise<void> {
  await timed('1. simple: two rows of sixteen integers, added and subtracted (ONNX)', async () => {
    const a = Int32Array.from({ length: 16 }, (_, index) => index + 1);
    const b = Int32Array.from({ length: 16 }, () => 10);
    const results = await infer(HTTP, 'simple', [
      { name: 'INPUT0', datatype: 'INT32', shape: [1, 16], data: a },
      { name: 'INPUT1', datatype: 'INT32', shape: [1, 16], data: b },
    ]);
    say(`  sums         ${output(results, 'OUTPUT0').data.join(' ')}`);
    say(`  differences  ${output(results, 'OUTPUT1').data.join(' ')}`);
  });
  await timed('2. ocr-page, ocr-line: ensembles that read examples/inputs/receipt.png (PaddleOCR)', async () => {
    const lines = await readImage(HTTP, path('../inputs/receipt.png'), path('../../.cache/models/ppocr_keys_v1.txt'));
    for (const { text, confidence } of lines) say(`  ${text.padEnd(32)} ${dim(`${(confidence * 100).toFixed(0)} %`)}`);
  });
  await timed(
    '3. voice-activity: a sequence, its state on the server: speech in examples/inputs/speech.wav (Silero VAD)',
    async () => {
      const probabilities = await detectSpeech(HTTP, path('../inputs/speech.wav'));
      const seconds = (probabilities.length * 512) / 16_000;
      const bars = sparkline(probabilities);
      say(`  ${bars}`);
      say(`  0 s${' '.repeat(Math.max(1, bars.length - 8))}${seconds.toFixed(1)} s`);
    },
  );
}

const CURL = `curl -s ${HTTP}/v2/models/simple/infer -d '{"inputs":[
  {"name":"INPUT0","datatype":"INT32","shape":[1,16],"data":[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16]},
  {"name":"INPUT1","datatype":"INT32","shape":[1,16],"data":[1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1]}]}'`;

async function main(): Promise<number> {
  say(bold('Goodput: starting a server on examples/quickstart'));
  const server = startServer();
  const gone = new Promise<void>((resolve) => server.once('exit', () => resolve()));
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => void server.kill('SIGTERM'));
  try {
    const ms = await untilReady(server);
    say(`  ready after ${(ms / 1000).toFixed(2)} s`);
    await demonstrate();
  } catch (error) {
    process.stderr.write(`goodput: ${error instanceof Error ? error.message : String(error)}\n`);
    server.kill('SIGTERM');
    await gone;
    return 1;
  }
  say();
  say(bold('Where to look'));
  say(`  KServe v2 HTTP   ${HTTP}/v2`);
  say('  KServe v2 gRPC   127.0.0.1:8001');
  say(`  Prometheus       ${METRICS}`);
  say(`  Configuration    ${HTTP}/v2/models/simple/config`);
  say(`  Statistics       ${HTTP}/v2/models/stats`);
  say();
  say(bold('Try it'));
  say(CURL);
  say(`.cache/venv/bin/python examples/clients/simple_client.py`);
  if (once) {
    server.kill('SIGTERM');
    await gone;
    say();
    say(
      `The demonstration is over; the server has stopped ${server.exitCode === 0 ? 'cleanly' : `with status ${server.exitCode}`}.`,
    );
    return server.exitCode ?? 1;
  }
  say();
  say('Serving. Ctrl-C stops it.');
  await gone;
  return server.exitCode ?? 0;
}

process.exitCode = await main();
