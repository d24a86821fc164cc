import type { Exposition, Labels } from './exposition.ts';
import { Histogram } from './histogram.ts';

export const CUSTOM_METRIC_KINDS = ['counter', 'gauge', 'histogram'] as const;
export type CustomMetricKind = (typeof CUSTOM_METRIC_KINDS)[number];

/** A metric with its labels. */
type Metric =
  | { readonly kind: 'counter' | 'gauge'; readonly labels: Labels; value: number }
  | { readonly kind: 'histogram'; readonly labels: Labels; readonly histogram: Histogram };

interface Family {
  readonly name: string;
  readonly kind: CustomMetricKind;
  readonly help: string;
  readonly metrics: Map<string, Metric>;
}

const FAMILY_NAME = /^[a-zA-Z_:][a-zA-Z0-9_:]*$/;
const LABEL_NAME = /^[a-zA-Z_][a-zA-Z0-9_]*$/;

/**
 * Metrics that models make themselves, shown beside the server's own. Asking twice for a family or for a metric of the
 * same labels gives the same one, so that all instances of a model add to it.
 * (https://github.com/triton-inference-server/python_backend#custom-metrics)
 */
export class CustomMetrics {
  private readonly families = new Map<string, Family>();

  /** @throws Error for a bad name, or one that is a family of another kind already */
  family(name: string, help: string, kind: CustomMetricKind): void {
    if (!FAMILY_NAME.test(name)) throw new Error(`'${name}' is not a metric name`);
    const known = this.families.get(name);
    if (known && known.kind !== kind) throw new Error(`metric family '${name}' is a ${known.kind} already`);
    if (!known) this.families.set(name, { name, help, kind, metrics: new Map() });
  }

  /**
   * Makes a metric, or finds the one with these labels.
   * @param buckets ascending upper bounds of a histogram
   */
  metric(family: string, labels: Labels, buckets: readonly number[] | undefined): void {
    this.find(family, labels, buckets);
  }

  /** @throws Error for a histogram, and for a negative step of a counter */
  increment(family: string, labels: Labels, step: number): void {
    const metric = this.find(family, labels, undefined);
    if (metric.kind === 'histogram') throw notFor(metric.kind, 'incremented');
    if (metric.kind === 'counter' && step < 0) {
      throw new Error('Counters can only be incremented monotonically by non-negative values.');
    }
    metric.value += step;
  }

  /** @throws Error unless it is a gauge */
  set(family: string, labels: Labels, value: number): void {
    const metric = this.find(family, labels, undefined);
    if (metric.kind !== 'gauge') throw notFor(metric.kind, 'set');
    metric.value = value;
  }

  /** @throws Error unless it is a histogram */
  observe(family: string, labels: Labels, value: number): void {
    const metric = this.find(family, labels, undefined);
    if (metric.kind !== 'histogram') throw notFor(metric.kind, 'observed');
    metric.histogram.observe(value);
  }

  /** @throws Error for a histogram */
  value(family: string, labels: Labels): number {
    const metric = this.find(family, labels, undefined);
    if (metric.kind === 'histogram') throw notFor(metric.kind, 'read');
    return metric.value;
  }

  render(out: Exposition): void {
    for (const { name, kind, help, metrics } of this.families.values()) {
      if (metrics.size === 0) continue;
      out.family({ name, type: kind, help });
      for (const metric of metrics.values()) {
        if (metric.kind === 'histogram') out.histogram(name, metric.labels, metric.histogram, 1);
        else out.sample(name, metric.labels, metric.value);
      }
    }
  }

  private find(name: string, labels: Labels, buckets: readonly number[] | undefined): Metric {
    const family = this.families.get(name);
    if (!family) throw new Error(`there is no metric family '${name}'`);
    const key = JSON.stringify(Object.entries(labels).toSorted(([a], [b]) => (a < b ? -1 : 1)));
    let metric = family.metrics.get(key);
    if (!metric) {
      for (const label of Object.keys(labels)) {
        if (!LABEL_NAME.test(label)) throw new Error(`'${label}' is not a label name`);
      }
      metric = createMetric(family.kind, labels, buckets);
      family.metrics.set(key, metric);
    }
    return metric;
  }
}

function createMetric(kind: CustomMetricKind, labels: Labels, buckets: readonly number[] | undefined): Metric {
  if (kind !== 'histogram') return { kind, labels, value: 0 };
  if (buckets === undefined) throw new Error('a histogram needs buckets');
  if (buckets.some((bound, index) => index > 0 && bound <= (buckets[index - 1] ?? bound))) {
    throw new Error(`buckets must ascend, got [${buckets.join(', ')}]`);
  }
  return { kind, labels, histogram: new Histogram(buckets) };
}

function notFor(kind: CustomMetricKind, done: string): Error {
  return new Error(`a metric of kind ${kind} cannot be ${done}`);
}
