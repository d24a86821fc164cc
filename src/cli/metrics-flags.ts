import type { MetricsOptions } from '../server/frontends/metrics/index.ts';
import { DEFAULT_QUANTILES } from '../telemetry/index.ts';
import { type FlagValues, UsageError } from './flags.ts';

const KNOWN = ['counter_latencies', 'histogram_latencies', 'summary_latencies', 'summary_quantiles'] as const;

/**
 * `--metrics-config=[MODULE,]KEY=VALUE` and the other metrics flags.
 * @throws UsageError naming the setting
 */
export function metricsOptions(flags: FlagValues): MetricsOptions {
  const values = new Map<string, string>();
  for (const entry of flags.all('metrics-config')) {
    const match = /^(?:[^,=]*,)?([^,=]+)=(.*)$/.exec(entry);
    if (!match) throw new UsageError(`--metrics-config option format is '<setting>=<value>'. Got '${entry}'`);
    const [, name = '', value = ''] = match;
    if (!KNOWN.some((known) => known === name)) {
      throw new UsageError(`--metrics-config: unknown setting '${name}', it is one of ${KNOWN.join(', ')}`);
    }
    values.set(name, value);
  }
  const on = (name: (typeof KNOWN)[number], fallback: boolean): boolean => {
    const text = values.get(name);
    return text === undefined ? fallback : /^(?:true|1|yes|on)$/i.test(text);
  };
  return {
    counterLatencies: on('counter_latencies', true),
    histogramLatencies: on('histogram_latencies', false),
    summaryLatencies: on('summary_latencies', false),
    quantiles: quantilesOf(values.get('summary_quantiles')),
    cpu: flags.boolean('allow-cpu-metrics', true),
    intervalMillis: flags.number('metrics-interval-ms', 2000),
  };
}

/** `QUANTILE:ERROR,...`; the error is not needed here. */
function quantilesOf(text: string | undefined): readonly number[] {
  if (text === undefined) return DEFAULT_QUANTILES;
  return text.split(',').map((pair) => {
    const quantile = Number(pair.split(':')[0]);
    if (quantile > 0 && quantile < 1) return quantile;
    throw new UsageError(`--metrics-config: summary_quantiles must be QUANTILE:ERROR pairs, got '${pair}'`);
  });
}
