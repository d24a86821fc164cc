import { type Endpoint, Http1Connection, requestHead } from '../client/index.ts';

/** What is collected, with how its values over a window are put together. */
export const COLLECTED = {
  nv_gpu_utilization: 'average',
  nv_gpu_power_usage: 'average',
  nv_gpu_memory_used_bytes: 'highest',
  nv_gpu_memory_total_bytes: 'last',
  nv_cpu_utilization: 'average',
  nv_cpu_memory_used_bytes: 'highest',
} as const;
export type CollectedMetric = keyof typeof COLLECTED;

/** Values by metric and GPU (or '' for the machine). */
export type MetricValues = ReadonlyMap<CollectedMetric, ReadonlyMap<string, number>>;

/** Reads a server's metrics now and then. */
export class MetricsCollector {
  private readonly endpoint: Endpoint;
  private readonly path: string;
  private readonly samples = new Map<CollectedMetric, Map<string, number[]>>();
  private connection: Http1Connection | undefined;
  private readonly timer: NodeJS.Timeout;
  /** The first thing that went wrong. */
  problem: string | undefined;

  constructor(endpoint: Endpoint, path: string, intervalMs: number) {
    this.endpoint = endpoint;
    this.path = path;
    this.timer = setInterval(() => void this.sample(), intervalMs);
  }

  /** Values since this was last called. */
  take(): MetricValues {
    const values = new Map<CollectedMetric, Map<string, number>>();
    for (const [metric, devices] of this.samples) {
      const byDevice = new Map<string, number>();
      for (const [device, samples] of devices) byDevice.set(device, combine(metric, samples));
      values.set(metric, byDevice);
    }
    this.samples.clear();
    return values;
  }

  stop(): void {
    clearInterval(this.timer);
    this.connection?.close();
  }

  /** Looks once. */
  async sample(): Promise<void> {
    try {
      if (this.connection && !this.connection.usable && !this.connection.closed) return;
      if (!this.connection?.usable) this.connection = await Http1Connection.connect(this.endpoint);
      const { connection } = this;
      const head = Buffer.from(requestHead('GET', this.path, this.endpoint, [], undefined), 'latin1');
      const text = await new Promise<string>((resolve, reject) => {
        connection.send([head], { done: ({ body }) => resolve(body.toString()), failed: reject });
      });
      this.read(text);
    } catch (error) {
      this.problem ??= error instanceof Error ? error.message : String(error);
    }
  }

  private read(text: string): void {
    for (const [, name = '', labels = '', value] of text.matchAll(/^([a-z_]+)(\{[^}]*\})? (\S+)/gm)) {
      if (!Object.hasOwn(COLLECTED, name)) continue;
      const metric = name as CollectedMetric;
      const device = /gpu_uuid="([^"]*)"/.exec(labels)?.[1] ?? '';
      const devices = this.samples.get(metric) ?? new Map<string, number[]>();
      this.samples.set(metric, devices);
      devices.set(device, [...(devices.get(device) ?? []), Number(value)]);
    }
  }
}

function combine(metric: CollectedMetric, samples: readonly number[]): number {
  switch (COLLECTED[metric]) {
    case 'average':
      return samples.reduce((sum, value) => sum + value, 0) / samples.length;
    case 'highest':
      return Math.max(...samples);
    case 'last':
      return samples.at(-1) ?? 0;
    default:
      return COLLECTED[metric] satisfies never;
  }
}
