import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';

/** How deep below a model folder files are looked at: versions, and folders such as `model.savedmodel` in them. */
const MAX_DEPTH = 4;

/** A text that changes when any file of a model is added, removed or written. */
export async function fingerprint(path: string): Promise<string> {
  const parts: string[] = [];
  await visit(path, '', 0, parts);
  return parts.toSorted().join('\n');
}

async function visit(path: string, relative: string, depth: number, parts: string[]): Promise<void> {
  const entries = await readdir(path, { withFileTypes: true }).catch(() => []);
  for (const entry of entries) {
    const child = join(path, entry.name);
    const name = `${relative}/${entry.name}`;
    const info = await stat(child).catch(() => undefined);
    if (!info) continue;
    if (info.isDirectory()) {
      parts.push(`${name}/`);
      if (depth < MAX_DEPTH) await visit(child, name, depth + 1, parts);
    } else {
      parts.push(`${name} ${info.mtimeMs} ${info.size} ${info.ino}`);
    }
  }
}
