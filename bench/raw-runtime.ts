/** onnxruntime-node without a server: rows a second of a model with a fixed batch. */
import { createRequire } from 'node:module';
import type * as OnnxruntimeCommon from 'onnxruntime-common';
import { MLP_WIDTH } from './models.ts';

process.env['ORT_DISABLE_TELEMETRY'] = '1';
const [model = '', batchText = '1', secondsText = '3'] = process.argv.slice(2);
const batch = Number(batchText);
const require = createRequire(import.meta.url);
const ort = require('onnxruntime-node') as typeof OnnxruntimeCommon;
const session = await ort.InferenceSession.create(model, { intraOpNumThreads: 1, interOpNumThreads: 1 });
const input = new ort.Tensor('float32', new Float32Array(batch * MLP_WIDTH).fill(0.5), [batch, MLP_WIDTH]);
const run = (): Promise<unknown> => session.run({ INPUT0: input });
for (let index = 0; index < 50; index++) await run();
const start = performance.now();
const end = start + Number(secondsText) * 1000;
let runs = 0;
while (performance.now() < end) {
  await run();
  runs++;
}
process.stdout.write(String((runs * batch * 1000) / (performance.now() - start)));
