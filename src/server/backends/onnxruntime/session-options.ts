import { availableParallelism } from 'node:os';
import { invalidArgument } from '../../../core/index.ts';
import type { ModelConfig } from '../../../protocol/index.ts';
import type { SessionOptions } from './messages.ts';

/**
 * Session options from a configuration, under the names of Triton's onnxruntime backend
 * (https://github.com/triton-inference-server/onnxruntime_backend#parameters): `intra_op_thread_count`,
 * `inter_op_thread_count`, `execution_mode`, `enable_mem_arena`, `enable_mem_pattern`, `session.*` entries and
 * `optimization { graph { level } }`.
 *
 * Where no thread count is given, the instances of a model share the cores among them, and idle threads sleep instead
 * of spinning: ONNX Runtime's own default gives each instance all cores.
 */
export function sessionOptionsOf(
  config: ModelConfig,
  instances: number,
  defaults: ReadonlyMap<string, string>,
): SessionOptions {
  const text = (name: string): string | undefined => config.parameters[name]?.stringValue ?? defaults.get(name);
  const count = (name: string, fallback: number): number => {
    const value = text(name);
    if (value === undefined) return fallback;
    if (!/^\d+$/.test(value)) {
      throw invalidArgument(`parameter '${name}' of model '${config.name}' must be an integer >= 0, got '${value}'`);
    }
    return Number(value) === 0 ? availableParallelism() : Number(value);
  };
  const flag = (name: string, fallback: boolean): boolean => {
    const value = text(name);
    if (value === undefined) return fallback;
    if (!['0', '1', 'true', 'false'].includes(value)) {
      throw invalidArgument(`parameter '${name}' of model '${config.name}' must be 0 or 1, got '${value}'`);
    }
    return value === '1' || value === 'true';
  };
  const share = Math.max(1, Math.floor(availableParallelism() / Math.max(1, instances)));
  return {
    intraOpNumThreads: count('intra_op_thread_count', share),
    interOpNumThreads: count('inter_op_thread_count', 1),
    executionMode: flag('execution_mode', false) ? 'parallel' : 'sequential',
    enableCpuMemArena: flag('enable_mem_arena', true),
    enableMemPattern: flag('enable_mem_pattern', true),
    graphOptimizationLevel: graphLevel(config),
    executionProviders: ['cpu'],
    extra: extraEntries(config),
  };
}

function graphLevel(config: ModelConfig): SessionOptions['graphOptimizationLevel'] {
  const level = config.optimization?.graph?.level ?? 0;
  switch (level) {
    case -1:
      return 'basic';
    case 0:
      return 'all';
    case 1:
      return 'extended';
    case 2:
      return 'disabled';
    default:
      throw invalidArgument(
        `optimization graph level of model '${config.name}' must be -1 (basic), 0 (all), 1 (extended) or 2 (disabled), got ${level}`,
      );
  }
}

/** Entries such as `session.intra_op.allow_spinning`, nested as the binding takes them. */
function extraEntries(config: ModelConfig): Record<string, unknown> {
  const extra: Record<string, unknown> = {};
  const set = (path: readonly string[], value: string): void => {
    let node = extra;
    path.forEach((key, index) => {
      if (index === path.length - 1) node[key] = value;
      else node = (node[key] ??= {}) as Record<string, unknown>;
    });
  };
  set(['session', 'intra_op', 'allow_spinning'], '0');
  for (const [name, parameter] of Object.entries(config.parameters)) {
    if (/^session\.[\w.]+$/.test(name)) set(name.split('.'), parameter.stringValue);
  }
  return extra;
}
