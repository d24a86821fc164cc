import type { Histogram } from './histogram.ts';
import type { Summary } from './summary.ts';

export const METRIC_TYPES = ['counter', 'gauge', 'histogram', 'summary', 'untyped'] as const;
export type MetricType = (typeof METRIC_TYPES)[number];

export type Labels = Readonly<Record<string, string>>;

/** A metric family: what `# HELP` and `# TYPE` say. The same table makes the reference documentation. */
export interface MetricFamily {
  readonly name: string;
  readonly type: MetricType;
  readonly help: string;
}

export const EXPOSITION_CONTENT_TYPE = 'text/plain; version=0.0.4; charset=utf-8';

/** Writes the Prometheus text format (https://prometheus.io/docs/instrumenting/exposition_formats/). */
export class Exposition {
  private readonly lines: string[] = [];

  family(family: MetricFamily): void {
    this.lines.push(`# HELP ${family.name} ${family.help.replaceAll('\\', '\\\\').replaceAll('\n', '\\n')}`);
    this.lines.push(`# TYPE ${family.name} ${family.type}`);
  }

  sample(name: string, labels: Labels, value: number): void {
    this.lines.push(`${name}${formatLabels(labels)} ${formatNumber(value)}`);
  }

  /**
   * The three sample kinds of a histogram.
   * @param scale what one unit of the histogram is in the family's unit (1e-6 for microseconds as seconds)
   */
  histogram(name: string, labels: Labels, histogram: Histogram, scale: number): void {
    this.buckets(`${name}_bucket`, labels, histogram, scale);
    this.sample(`${name}_sum`, labels, histogram.sum * scale);
    this.sample(`${name}_count`, labels, histogram.count);
  }

  summary(name: string, labels: Labels, summary: Summary, quantiles: readonly number[]): void {
    this.sample(`${name}_count`, labels, summary.count);
    this.sample(`${name}_sum`, labels, summary.sum);
    const values = summary.quantiles(quantiles);
    quantiles.forEach((quantile, index) => {
      this.sample(name, { ...labels, quantile: String(quantile) }, values[index] ?? Number.NaN);
    });
  }

  /** Only the cumulative `le` samples. */
  buckets(name: string, labels: Labels, histogram: Histogram, scale: number): void {
    const cumulative = histogram.cumulative();
    histogram.bounds.forEach((bound, index) => {
      this.sample(name, { ...labels, le: formatNumber(roundScale(bound * scale)) }, cumulative[index] ?? 0);
    });
    this.sample(name, { ...labels, le: '+Inf' }, histogram.count);
  }

  text(): string {
    return this.lines.length === 0 ? '' : `${this.lines.join('\n')}\n`;
  }
}

/** Takes away the noise of a floating-point product, so that bounds read `0.00025`. */
function roundScale(value: number): number {
  return Number(value.toPrecision(12));
}

function formatNumber(value: number): string {
  if (Number.isFinite(value)) return String(value);
  return Number.isNaN(value) ? 'NaN' : value > 0 ? '+Inf' : '-Inf';
}

function formatLabels(labels: Labels): string {
  const parts = Object.entries(labels).map(([name, value]) => `${name}="${escapeLabel(value)}"`);
  return parts.length === 0 ? '' : `{${parts.join(',')}}`;
}

function escapeLabel(value: string): string {
  return value.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n');
}
