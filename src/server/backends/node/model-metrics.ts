import { errorMessage } from '../../../core/index.ts';
import type { CustomMetrics } from '../../../telemetry/index.ts';
import type { FromWorker, MetricStep } from './messages.ts';
import type { ModelMetrics } from './model-api.ts';

/** The model's side: metrics whose changes go to the server as messages. */
export function modelMetrics(send: (message: FromWorker) => void): ModelMetrics {
  const make = (
    type: 'counter' | 'gauge' | 'histogram',
    name: string,
    help: string,
    labels: MetricStep['labels'],
    buckets?: readonly number[],
  ): ((kind: 'increment' | 'set' | 'observe', value: number) => void) => {
    send({ kind: 'metric', name, labels, step: { kind: 'make', type, help, buckets } });
    return (kind, value) => send({ kind: 'metric', name, labels, step: { kind, value } });
  };
  return {
    counter(name, help, labels = {}) {
      const change = make('counter', name, help, labels);
      return { increment: (step = 1) => change('increment', step) };
    },
    gauge(name, help, labels = {}) {
      const change = make('gauge', name, help, labels);
      return { set: (value) => change('set', value) };
    },
    histogram(name, help, buckets, labels = {}) {
      const change = make('histogram', name, help, labels, buckets);
      return { observe: (value) => change('observe', value) };
    },
  };
}

/** The server's side. */
export function applyMetric(
  metrics: CustomMetrics,
  { name, labels, step }: MetricStep,
  failed: (reason: string) => void,
): void {
  try {
    switch (step.kind) {
      case 'make':
        metrics.family(name, step.help, step.type);
        metrics.metric(name, labels, step.buckets);
        return;
      case 'increment':
        metrics.increment(name, labels, step.value);
        return;
      case 'set':
        metrics.set(name, labels, step.value);
        return;
      case 'observe':
        metrics.observe(name, labels, step.value);
        return;
      default:
        step satisfies never;
    }
  } catch (error) {
    failed(errorMessage(error));
  }
}
