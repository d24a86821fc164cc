import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, renameSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { internalError, invalidArgument } from '../../../core/index.ts';
import type { ModelContext } from '../contract.ts';

const run = promisify(execFile);

/** An interpreter, and what its environment has to have. */
export interface Interpreter {
  readonly python: string;
  readonly env: Readonly<Record<string, string>>;
}

const MODEL_DIRECTORY = '$$TRITON_MODEL_DIRECTORY';

/**
 * The Python that runs a model: that of the environment in the parameter `EXECUTION_ENV_PATH` (a packed environment
 * `.tar.gz`, a folder such as a venv, or an interpreter), else `--backend-config=python,python=PATH`, else
 * `GOODPUT_PYTHON`, else `python3`.
 * @throws INVALID_ARG for an environment that is not there or has no interpreter
 */
export async function findInterpreter({ config, modelPath, backendConfig }: ModelContext): Promise<Interpreter> {
  const path = config.parameters['EXECUTION_ENV_PATH']?.stringValue;
  if (path === undefined || path === '') {
    return { python: backendConfig.get('python') ?? process.env['GOODPUT_PYTHON'] ?? 'python3', env: {} };
  }
  const absolute = resolve(modelPath, path.replace(MODEL_DIRECTORY, modelPath));
  if (!existsSync(absolute)) {
    throw invalidArgument(`EXECUTION_ENV_PATH of model '${config.name}': '${absolute}' does not exist`);
  }
  if (statSync(absolute).isDirectory()) return inFolder(absolute, config.name);
  if (/\.(tar\.gz|tgz|tar)$/.test(absolute)) return inFolder(await unpack(absolute), config.name);
  return { python: absolute, env: {} };
}

function inFolder(folder: string, model: string): Interpreter {
  const python = join(folder, 'bin', 'python');
  if (!existsSync(python)) {
    throw invalidArgument(`EXECUTION_ENV_PATH of model '${model}': '${folder}' has no bin/python`);
  }
  // A packed conda environment brings libraries of its own, which its interpreter has to find; a venv does not.
  const isVenv = existsSync(join(folder, 'pyvenv.cfg'));
  const libraries = [join(folder, 'lib'), process.env['LD_LIBRARY_PATH']].filter(Boolean).join(':');
  return {
    python,
    env: {
      PATH: `${dirname(python)}:${process.env['PATH'] ?? ''}`,
      ...(isVenv ? {} : { LD_LIBRARY_PATH: libraries }),
    },
  };
}

/** Unpacks an environment once; the same file is found unpacked the next time. */
async function unpack(archive: string): Promise<string> {
  const { size, mtimeMs } = statSync(archive);
  const key = createHash('sha256').update(`${archive}\0${size}\0${mtimeMs}`).digest('hex').slice(0, 16);
  const folder = join(tmpdir(), `goodput-env-${key}`);
  if (existsSync(folder)) return folder;
  const partial = `${folder}.${process.pid}`;
  mkdirSync(partial, { recursive: true });
  try {
    await run('tar', ['-xf', archive, '-C', partial]);
    if (existsSync(join(partial, 'bin', 'conda-unpack'))) {
      await run(join(partial, 'bin', 'python'), [join(partial, 'bin', 'conda-unpack')]);
    }
  } catch (error) {
    throw internalError(`cannot unpack the Python environment '${archive}': ${String(error)}`);
  }
  if (!existsSync(folder)) renameSync(partial, folder);
  return folder;
}
