import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';

/** A model repository in a temporary folder. */
export class TemporaryRepository {
  readonly path = mkdtempSync(join(tmpdir(), 'goodput-test-'));

  /** Writes files of a model: `config.pbtxt`, `1/model.onnx` and so on, by path inside the model's folder. */
  model(name: string, files: Readonly<Record<string, string | Buffer>>): this {
    for (const [file, content] of Object.entries(files)) {
      const path = join(this.path, name, file);
      mkdirSync(dirname(path), { recursive: true });
      writeFileSync(path, content);
    }
    return this;
  }

  /** An identity model that needs no file; `extra` goes into its configuration. */
  identity(name: string, type: string, dims: string, extra = ''): this {
    mkdirSync(join(this.path, name, '1'), { recursive: true });
    const tensor = (kind: string, tensorName: string): string =>
      `${kind} [ { name: "${tensorName}" data_type: ${type} dims: ${dims} } ]`;
    const batching = extra.includes('max_batch_size') ? '' : 'max_batch_size: 8';
    return this.model(name, {
      'config.pbtxt': `backend: "identity"\n${batching}\n${tensor('input', 'INPUT0')}\n${tensor('output', 'OUTPUT0')}\n${extra}\n`,
    });
  }

  remove(name: string): void {
    rmSync(join(this.path, name), { recursive: true, force: true });
  }

  [Symbol.dispose](): void {
    rmSync(this.path, { recursive: true, force: true });
  }
}
