import { freemem, totalmem } from 'node:os';
import { Exposition, type Labels } from '../../../telemetry/index.ts';
import { type Engine, FAILURE_REASONS, type LoadedModel } from '../../engine/index.ts';
import { CpuUsage } from './cpu-usage.ts';
import {
  CPU_FAMILIES,
  FAILURE_FAMILY,
  STAGE_FAMILIES,
  TRITON_ALIAS_FAMILIES,
  TRITON_DUAL_FAMILIES,
  TRITON_FAMILIES,
} from './families.ts';

export * from './families.ts';

const MICROSECOND = 1e-6;

/** A function that renders the server's metrics in the Prometheus text format. */
export function createMetricsRenderer(engine: Engine): () => string {
  const usage = new CpuUsage();
  return () => {
    const out = new Exposition();
    const models = engine.allModels();
    renderModels(out, models);
    renderCpu(out, usage);
    return out.text();
  };
}

function labelsOf(model: LoadedModel): Labels {
  return { model: model.name, version: String(model.version) };
}

function renderModels(out: Exposition, models: readonly LoadedModel[]): void {
  if (models.length === 0) return;
  for (const family of [...TRITON_FAMILIES, ...TRITON_ALIAS_FAMILIES]) {
    out.family(family);
    for (const model of models) out.sample(family.name, labelsOf(model), family.value(model));
  }
  out.family(FAILURE_FAMILY);
  for (const model of models) {
    const { model: name, version } = labelsOf(model);
    for (const reason of FAILURE_REASONS) {
      const labels = { model: name ?? '', reason, version: version ?? '' };
      out.sample(FAILURE_FAMILY.name, labels, model.statistics.failures[reason]);
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
  gauge(CPU_FAMILIES.resident, process.memoryUsage.rss());
}
