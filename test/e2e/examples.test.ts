import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { readImage } from '../../examples/demo/ocr.ts';
import { detectSpeech } from '../../examples/demo/vad.ts';
import { call, RunningServer } from '../support/running-server.ts';

const path = (relative: string): string => fileURLToPath(new URL(`../../${relative}`, import.meta.url));

test('the small models of the examples are what their script makes', () => {
  execFileSync(process.execPath, [path('scripts/make-example-models.ts'), '--check']);
});

describe('examples/quickstart', () => {
  let server: RunningServer;
  before(async () => {
    server = await RunningServer.start(['--model-repository', path('examples/quickstart'), '--exit-on-error=true']);
  });
  after(async () => {
    assert.equal(await server.stop(), 0);
  });

  test('the OCR ensembles read the receipt', async () => {
    const base = `http://${server.http}`;
    const lines = await readImage(base, path('examples/inputs/receipt.png'), path('.cache/models/ppocr_keys_v1.txt'));
    assert.deepEqual(
      lines.map(({ text }) => text.replaceAll(' ', '')),
      ['GOODPUTCAFE', 'Espressodouble2.80', 'Sandwichtomato5.40', 'TOTAL8.20EUR'],
    );
    assert.ok(lines.every(({ confidence }) => confidence > 0.9));
  });

  test('voice activity: two speakers at once are two sequences, and both come out as they do alone', async () => {
    const base = `http://${server.http}`;
    const file = path('examples/inputs/speech.wav');
    const alone = await detectSpeech(base, file, 'alone');
    assert.ok(Math.max(...alone) > 0.95 && Math.min(...alone) < 0.05);
    const together = await Promise.all([detectSpeech(base, file, 'a'), detectSpeech(base, file, 'b')]);
    for (const probabilities of together) assert.deepEqual(probabilities, alone);
  });

  test("an ensemble's statistics are there, its steps' too", async () => {
    const { text } = await call(`${server.http}/v2/models/ocr-line/stats`);
    assert.match(text, /"success":\{"count":4,/);
    assert.match((await call(`${server.http}/v2/models/best-path/stats`)).text, /"success":\{"count":4,/);
  });
});
