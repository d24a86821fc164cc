/**
 * Writes docs/reference from the code: flags, configuration fields, metrics, endpoints.
 *   node scripts/generate-docs.ts           write
 *   node scripts/generate-docs.ts --check   exit 1 when a file is not what the code says
 */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { DescEnum, DescField, DescMessage } from '@bufbuild/protobuf';
import type { FlagSpec } from '../src/cli/flags.ts';
import { PERF_FLAGS, REFUSED_PERF_FLAGS } from '../src/cli/perf-flag-specs.ts';
import { SERVE_FLAGS } from '../src/cli/serve-flags.ts';
import { INERT_FLAGS, REFUSED_FLAGS } from '../src/cli/unsupported-flags.ts';
import { ModelConfigSchema } from '../src/protocol/index.ts';
import { EXTENSIONS } from '../src/server/frontends/identity.ts';
import { HTTP_ENDPOINTS } from '../src/server/frontends/endpoints.ts';
import {
  CACHE_FAMILIES,
  CPU_FAMILIES,
  FAILURE_FAMILY,
  FIRST_RESPONSE_FAMILY,
  PROCESS_FAMILY,
  STAGE_FAMILIES,
  SUMMARY_FAMILIES,
  TRITON_ALIAS_FAMILIES,
  TRITON_DUAL_FAMILIES,
  TRITON_FAMILIES,
} from '../src/server/frontends/metrics/index.ts';
import { LLAMA_FAMILIES } from '../src/server/backends/node/index.ts';
import { file_grpc_service } from '../src/protocol/generated/grpc_service_pb.js';

const NOTICE = '<!-- Written by scripts/generate-docs.ts from the code. -->';

function table(header: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string =>
    `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`;
  return [line(header), `|${header.map(() => '---').join('|')}|`, ...rows.map(line)].join('\n');
}

function flagTables(specs: readonly FlagSpec[]): string {
  const groups = [...new Set(specs.map((flag) => flag.group))];
  const sections = groups.map((group) => {
    const rows = specs
      .filter((flag) => flag.group === group)
      .map((flag) => [
        `\`--${flag.name}\`${flag.short ? `, \`-${flag.short}\`` : ''}${flag.aliases ? ` (also \`--${flag.aliases.join('`, `--')}\`)` : ''}`,
        flag.choices ? flag.choices.join(', ') : flag.kind,
        flag.defaultText,
        flag.help,
      ]);
    return `## ${group}\n\n${table(['flag', 'value', 'default', 'meaning'], rows)}`;
  });
  return sections.join('\n\n');
}

function reasons(entries: Readonly<Record<string, string>>): string {
  return table(
    ['flag', 'why'],
    Object.entries(entries).map(([name, reason]) => [`\`--${name}\``, reason]),
  );
}

function perfFlags(): string {
  return `# Flags of \`goodput perf\`\n\n${NOTICE}\n\nThe same under the name \`perf_analyzer\`. A bare \`-d\` is its old switch; with a number it is \`--duration\`.\n\n${flagTables(PERF_FLAGS)}\n\n## Refused by name\n\nThese perf_analyzer flags cannot be honoured.\n\n${reasons(REFUSED_PERF_FLAGS)}\n`;
}

function flags(): string {
  return `# Flags of \`goodput serve\`\n\n${NOTICE}\n\n${flagTables(SERVE_FLAGS)}\n\n## Refused by name\n\nThese tritonserver flags cannot be honoured; giving one stops the start with the reason.\n\n${reasons(REFUSED_FLAGS)}\n\n## Without effect\n\nThese tritonserver flags tune parts that Goodput does not have. They are taken, and a warning says so.\n\n${reasons(INERT_FLAGS)}\n`;
}

function metrics(): string {
  const section = (
    title: string,
    text: string,
    rows: readonly { name: string; type: string; help: string }[],
  ): string =>
    `## ${title}\n\n${text}\n\n${table(
      ['metric', 'type', 'meaning'],
      rows.map((row) => [`\`${row.name}\``, row.type, row.help]),
    )}`;
  return [
    '# Metrics',
    NOTICE,
    'Served in the Prometheus text format at `/metrics` on port 8002. Model metrics carry the labels `model` and `version`.',
    section('By model, as Triton names them', 'Durations are cumulative microseconds.', TRITON_FAMILIES),
    section(
      'Failures',
      'Carries `reason` too: `REJECTED`, `CANCELED`, `BACKEND`, `OTHER`; all four exist at 0 from load.',
      [FAILURE_FAMILY],
    ),
    section(
      'Response cache',
      'Of models whose responses are cached; durations are cumulative microseconds.',
      CACHE_FAMILIES,
    ),
    section(
      'Summaries',
      'Quantiles over the last minute, with `--metrics-config summary_latencies=true`; label `quantile`.',
      SUMMARY_FAMILIES,
    ),
    section(
      'First response',
      'Of decoupled models, with `--metrics-config histogram_latencies=true`; `model_metrics` in a configuration changes the bounds.',
      [FIRST_RESPONSE_FAMILY],
    ),
    section('Latency histograms', 'Labels `model`, `version`, `le`; seconds.', STAGE_FAMILIES),
    section(
      'Names of older guides: counts',
      'The same numbers under the names that dashboards of older guides use.',
      TRITON_ALIAS_FAMILIES,
    ),
    section(
      'Names of older guides: durations',
      'Each carries a bare cumulative sum, for ratios, and `le` samples, for `histogram_quantile(0.99, triton_infer_request_duration_us{model="M"})`.',
      TRITON_DUAL_FAMILIES,
    ),
    section(
      'GGUF models',
      'Label `model`; `goodput_llama_tokens_total` also `kind`, `prompt` or `generated`. Python and Node models add families of their own.',
      Object.values(LLAMA_FAMILIES),
    ),
    section('Machine and process', 'Without labels.', [...Object.values(CPU_FAMILIES), PROCESS_FAMILY]),
  ]
    .join('\n\n')
    .concat('\n');
}

function endpoints(): string {
  const rpcs = file_grpc_service.services[0]?.methods.map((method) => [
    `\`${method.name}\``,
    method.methodKind === 'unary' ? 'unary' : 'bidirectional stream',
    method.name === 'TraceSetting'
      ? 'shows that tracing is off; cannot switch it on'
      : method.name.startsWith('Cuda')
        ? 'refuses to register without a GPU'
        : 'served',
  ]);
  return [
    '# Endpoints',
    NOTICE,
    `Extensions: ${EXTENSIONS.map((name) => `\`${name}\``).join(', ')}.`,
    `## HTTP, port 8000\n\n${table(
      ['method', 'path', 'what'],
      HTTP_ENDPOINTS.map((each) => [each.method, `\`${each.path}\``, each.what]),
    )}`,
    '`generate` and `generate_stream` answer 501.',
    `## gRPC, port 8001\n\n\`inference.GRPCInferenceService\`:\n\n${table(['RPC', 'kind', 'state'], rpcs ?? [])}`,
    '`grpc.health.v1.Health`: `Check` and `Watch`.',
    '## Metrics, port 8002\n\n`GET /metrics`',
  ]
    .join('\n\n')
    .concat('\n');
}

/** Fields that are read and not acted on, or that make a model fail to load, in this version. */
const FIELD_STATE: Readonly<Record<string, string>> = {
  'ModelConfig.sequence_batching': 'refused at load',
  'ModelConfig.ensemble_scheduling': 'refused at load',
  'ModelTransactionPolicy.decoupled': 'refused at load',
  'ModelConfig.response_cache': 'no effect, with a warning',
  'ModelConfig.model_repository_agents': 'no effect',
  'ModelConfig.model_metrics': 'no effect',
  'ModelConfig.model_operations': 'no effect',
  'ModelConfig.metric_tags': 'no effect',
  'ModelConfig.runtime': 'no effect',
  'ModelInstanceGroup.rate_limiter': 'no effect, with a warning',
  'ModelInstanceGroup.secondary_devices': 'no effect',
  'ModelInstanceGroup.profile': 'no effect (TensorRT)',
  'ModelInstanceGroup.passive': 'no effect',
  'ModelInstanceGroup.host_policy': 'no effect',
  'ModelInput.format': 'no effect',
  'ModelInput.is_shape_tensor': 'no effect (TensorRT)',
  'ModelInput.is_non_linear_format_io': 'no effect (TensorRT)',
  'ModelOutput.is_shape_tensor': 'no effect (TensorRT)',
  'ModelOutput.is_non_linear_format_io': 'no effect (TensorRT)',
  'ModelOptimizationPolicy.priority': 'no effect',
  'ModelOptimizationPolicy.cuda': 'no effect (GPU)',
  'ModelOptimizationPolicy.execution_accelerators': 'no effect',
  'ModelOptimizationPolicy.input_pinned_memory': 'no effect (GPU)',
  'ModelOptimizationPolicy.output_pinned_memory': 'no effect (GPU)',
  'ModelOptimizationPolicy.gather_kernel_buffer_threshold': 'no effect (GPU)',
  'ModelOptimizationPolicy.eager_batching': 'no effect',
  'ModelDynamicBatching.priority_levels': 'no effect, with a warning',
  'ModelDynamicBatching.default_priority_level': 'no effect',
  'ModelDynamicBatching.priority_queue_policy': 'no effect',
  'ModelQueuePolicy.timeout_action': 'no effect',
  'ModelQueuePolicy.default_timeout_microseconds': 'no effect, with a warning',
  'ModelQueuePolicy.allow_timeout_override': 'no effect',
};

/** Messages that are only reached through fields without effect are left out. */
const MESSAGES = [
  'ModelConfig',
  'ModelVersionPolicy',
  'Latest',
  'Specific',
  'ModelInput',
  'ModelOutput',
  'ModelTensorReshape',
  'BatchInput',
  'BatchOutput',
  'ModelInstanceGroup',
  'ModelDynamicBatching',
  'ModelQueuePolicy',
  'ModelOptimizationPolicy',
  'Graph',
  'ModelParameter',
  'ModelWarmup',
  'Input',
  'ModelTransactionPolicy',
] as const;

function configuration(): string {
  const messages = new Map<string, DescMessage>();
  collect(ModelConfigSchema, messages);
  const sections = MESSAGES.flatMap((name) => {
    const message = messages.get(name);
    if (!message) return [];
    const rows = message.fields.map((field) => [
      `\`${field.name}\``,
      typeName(field),
      FIELD_STATE[`${name}.${field.name}`] ?? 'served',
    ]);
    return [`## ${name}\n\n${table(['field', 'type', 'in this version'], rows)}`];
  });
  return [
    '# Fields of config.pbtxt',
    NOTICE,
    "The whole `ModelConfig` message is read, with Triton's field numbers. Fields that this version does not act on say so here.",
    ...sections,
  ]
    .join('\n\n')
    .concat('\n');
}

function collect(message: DescMessage, into: Map<string, DescMessage>): void {
  if (into.has(message.name)) return;
  into.set(message.name, message);
  for (const field of message.fields) if (field.message) collect(field.message, into);
}

function typeName(field: DescField): string {
  const scalar = (type: number): string =>
    ({ 1: 'double', 2: 'float', 3: 'int64', 4: 'uint64', 5: 'int32', 8: 'bool', 9: 'string', 13: 'uint32' })[type] ??
    String(type);
  const enumeration = (desc: DescEnum): string => desc.values.map((value) => value.name).join(', ');
  switch (field.fieldKind) {
    case 'scalar':
      return scalar(field.scalar);
    case 'enum':
      return enumeration(field.enum);
    case 'message':
      return field.message.name;
    case 'list':
      return `list of ${field.listKind === 'message' ? field.message.name : field.listKind === 'enum' ? enumeration(field.enum) : scalar(field.scalar)}`;
    case 'map':
      return `map of string to ${field.mapKind === 'message' ? field.message.name : field.mapKind === 'scalar' ? scalar(field.scalar) : enumeration(field.enum)}`;
    default:
      return field satisfies never;
  }
}

const FILES: Readonly<Record<string, () => string>> = {
  'flags.md': flags,
  'perf-flags.md': perfFlags,
  'configuration.md': configuration,
  'metrics.md': metrics,
  'endpoints.md': endpoints,
};

const check = process.argv.includes('--check');
for (const [name, make] of Object.entries(FILES)) {
  const path = fileURLToPath(new URL(`../docs/reference/${name}`, import.meta.url));
  const text = make();
  if (check && (!existsSync(path) || readFileSync(path, 'utf8') !== text)) {
    process.stderr.write(`docs/reference/${name} is not what the code says: run 'npm run docs'\n`);
    process.exitCode = 1;
  }
  if (!check) writeFileSync(path, text);
}
