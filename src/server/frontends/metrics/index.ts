import { freemem, totalmem } from 'node:os';
import { Exposition, type Labels } from '../../../telemetry/index.ts';
import { type Engine, FAILURE_REASONS, type LoadedModel } from '../../engine/index.ts';
import { CpuUsage } from './cpu-usage.ts';
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
} from './families.ts';

export * from './families.ts';

const MICROSECOND = 1e-6;

/** Which families are shown (`--metrics-config` and its neighbours). */
export interface MetricsOptions {
  /** The `nv_*_duration_us` counters. */
  readonly counterLatencies: boolean;
  /** `nv_inference_first_response_histogram_ms` of decoupled models. */
  readonly histogramLatencies: boolean;
  /** The `nv_*_summary_us` families. */
  readonly summaryLatencies: boolean;
  readonly quantiles: readonly number[];
  /** The `nv_cpu_*` gauges. */
  readonly cpu: boolean;
  /** How often the CPU's utilization is looked at. */
  readonly intervalMillis: number;
}

/** A function that renders the server's metrics in the Prometheus text format. */
export function createMetricsRenderer(engine: Engine, options: MetricsOptions): () => string {
  const usage = new CpuUsage(options.intervalMillis);
  return () => {
    const out = new Exposition();
    const models = engine.allModels();
    renderModels(out, models, options);
    renderCache(out, models, options);
    if (options.summaryLatencies) renderSummaries(out, models, options.quantiles);
    if (options.histogramLatencies) renderFirstResponse(out, models);
    if (options.cpu) renderCpu(out, usage);
    renderProcess(out);
    engine.customMetrics.render(out);
    return out.text();
  };
}

/** The namespace is a label where models of several repositories may have the same name. */
function labelsOf(model: LoadedModel): Labels {
  const labels = { model: model.name, version: String(model.version) };
  return model.namespace === '' ? labels : { ...labels, namespace: model.namespace };
}

function renderCache(out: Exposition, all: readonly LoadedModel[], { counterLatencies }: MetricsOptions): void {
  const models = all.filter((model) => model.cached);
  if (models.length === 0) return;
  for (const family of CACHE_FAMILIES) {
    if (family.latency && !counterLatencies) continue;
    out.family(family);
    for (const model of models) out.sample(family.name, labelsOf(model), family.value(model));
  }
}

function renderSummaries(out: Exposition, all: readonly LoadedModel[], quantiles: readonly number[]): void {
  for (const family of SUMMARY_FAMILIES) {
    const models = family.cache ? all.filter((model) => model.cached) : all;
    if (models.length === 0) continue;
    out.family(family);
    for (const model of models) {
      const summary = model.statistics.summaries?.[family.summary];
      if (summary) out.summary(family.name, labelsOf(model), summary, quantiles);
    }
  }
}

function renderFirstResponse(out: Exposition, all: readonly LoadedModel[]): void {
  const models = all.filter((model) => model.decoupled);
  if (models.length === 0) return;
  out.family(FIRST_RESPONSE_FAMILY);
  for (const model of models) {
    out.histogram(FIRST_RESPONSE_FAMILY.name, labelsOf(model), model.statistics.firstResponse, 1);
  }
}

function renderModels(out: Exposition, models: readonly LoadedModel[], { counterLatencies }: MetricsOptions): void {
  if (models.length === 0) return;
  for (const family of [...TRITON_FAMILIES, ...TRITON_ALIAS_FAMILIES]) {
    if (family.latency && !counterLatencies) continue;
    out.family(family);
    for (const model of models) out.sample(family.name, labelsOf(model), family.value(model));
  }
  out.family(FAILURE_FAMILY);
  for (const model of models) {
    for (const reason of FAILURE_REASONS) {
      const { version = '', ...labels } = { ...labelsOf(model) };
      out.sample(FAILURE_FAMILY.name, { ...labels, reason, version }, model.statistics.failures[reason]);
    }
  }
  for (const family of TRITON_DUAL_FAMILIES) {
    out.family(family);
    for (const model of models) {
      out.sample(family.name, labelsOf(model), family.total(model.statistics));
      out.buckets(family.name, labelsOf(model), family.histogram(model.statistics), 1);
    }
  }
  for (const family of STAGE_FAMILIES) {
    out.family(family);
    for (const model of models) {
      out.histogram(family.name, labelsOf(model), model.statistics.stages[family.stage], MICROSECOND);
    }
  }
}

function renderCpu(out: Exposition, usage: CpuUsage): void {
  const gauge = (family: (typeof CPU_FAMILIES)[keyof typeof CPU_FAMILIES], value: number): void => {
    out.family(family);
    out.sample(family.name, {}, value);
  };
  gauge(CPU_FAMILIES.utilization, usage.take());
  gauge(CPU_FAMILIES.total, totalmem());
  gauge(CPU_FAMILIES.used, totalmem() - freemem());
}

function renderProcess(out: Exposition): void {
  out.family(PROCESS_FAMILY);
  out.sample(PROCESS_FAMILY.name, {}, process.memoryUsage.rss());
}
