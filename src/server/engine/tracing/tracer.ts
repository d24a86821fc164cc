import type { Logger } from '../../../core/index.ts';
import { RequestTrace, type TraceScope } from '../../../telemetry/index.ts';
import { OpenTelemetryExporter, type OpenTelemetryOptions } from './open-telemetry.ts';
import { changeOverride, type TraceOverride, type TraceSettings, type TraceSettingValue } from './settings.ts';
import { TraceFile } from './trace-file.ts';

/** How tracing starts. */
export interface TracingOptions {
  readonly settings: TraceSettings;
  readonly openTelemetry: OpenTelemetryOptions;
}

/** Settings in effect, with what has been sampled and collected under them. */
interface Sampler {
  readonly settings: TraceSettings;
  readonly scope: TraceScope;
  /** Requests since the last one that was traced. */
  seen: number;
  /** Traces left to take; -1 for no limit. */
  left: number;
  /** Started and not complete. */
  open: number;
  readonly collected: RequestTrace[];
}

/**
 * Decides which requests are traced and takes their traces
 * (https://github.com/triton-inference-server/server/blob/main/docs/user_guide/trace.md).
 */
export class Tracer {
  private readonly start: TraceSettings;
  private readonly logger: Logger;
  private readonly overrides = new Map<string, TraceOverride>();
  private readonly samplers = new Map<string, Sampler>();
  private readonly file: TraceFile | undefined;
  private readonly exporter: OpenTelemetryExporter | undefined;
  private ids = 0;
  /** Whether any request may be traced: the one thing that is looked at for every request. */
  active = false;

  constructor({ settings, openTelemetry }: TracingOptions, logger: Logger) {
    this.start = settings;
    this.logger = logger;
    if (settings.mode === 'opentelemetry') this.exporter = new OpenTelemetryExporter(openTelemetry, logger);
    else if (settings.file !== '') this.file = new TraceFile(settings.file, logger);
    this.look();
  }

  /** @param model empty for the settings of all models */
  settings(model: string): TraceSettings {
    const sampler = this.samplers.get(this.overrides.has(model) ? model : '');
    const settings = this.effective(model);
    return sampler ? { ...settings, count: sampler.left } : settings;
  }

  /** @throws INVALID_ARG or UNSUPPORTED in Triton's words */
  change(model: string, change: Readonly<Record<string, TraceSettingValue>>): TraceSettings {
    if (Object.keys(change).length > 0) {
      const after = changeOverride(this.overrides.get(model) ?? {}, change);
      if (model !== '' && Object.values(after).every((value) => value === undefined)) this.overrides.delete(model);
      else this.overrides.set(model, after);
      this.restart(model);
      this.look();
    }
    return this.settings(model);
  }

  /** A trace for a request that has arrived, if it is to be traced. */
  sample(model: string, requestId: string, context: string | undefined): RequestTrace | undefined {
    const sampler = this.samplerOf(model);
    const { levels, rate, mode } = sampler.settings;
    if (levels.length === 0 || sampler.left === 0) return undefined;
    // A request that is part of somebody's trace already belongs into it, whatever the rate.
    const continued = mode === 'opentelemetry' && context !== undefined;
    if (!continued && (rate === 0 || ++sampler.seen < rate)) return undefined;
    sampler.seen = 0;
    if (sampler.left > 0) sampler.left--;
    sampler.open++;
    return new RequestTrace(sampler.scope, model, requestId, undefined, context);
  }

  async close(): Promise<void> {
    for (const sampler of this.samplers.values()) this.handOver(sampler);
    await this.file?.close();
    await this.exporter?.close();
  }

  private effective(model: string): TraceSettings {
    const settings = { ...this.start };
    for (const override of [this.overrides.get(''), model === '' ? undefined : this.overrides.get(model)]) {
      for (const [key, value] of Object.entries(override ?? {})) {
        if (value !== undefined) Object.assign(settings, { [key]: value });
      }
    }
    return settings;
  }

  private samplerOf(model: string): Sampler {
    const key = this.overrides.has(model) ? model : '';
    const known = this.samplers.get(key);
    if (known) return known;
    const settings = this.effective(key);
    const sampler: Sampler = {
      settings,
      seen: 0,
      left: settings.count,
      open: 0,
      collected: [],
      scope: {
        timestamps: settings.levels.includes('TIMESTAMPS'),
        tensors: settings.levels.includes('TENSORS'),
        nextId: () => ++this.ids,
        completed: (trace) => this.completed(sampler, trace),
      },
    };
    this.samplers.set(key, sampler);
    return sampler;
  }

  private completed(sampler: Sampler, trace: RequestTrace): void {
    if (this.exporter) {
      this.exporter.add(trace);
      return;
    }
    sampler.collected.push(trace);
    if (trace.parent) return;
    sampler.open--;
    const { logFrequency } = sampler.settings;
    const taken = sampler.collected.filter((other) => !other.parent).length;
    const usedUp = sampler.left === 0 && sampler.open === 0;
    if (usedUp || (logFrequency > 0 && taken >= logFrequency)) {
      this.file?.writeNumbered(sampler.collected.splice(0));
    } else if (logFrequency === 0 && sampler.left < 0) {
      this.handOver(sampler);
    }
  }

  private handOver({ settings, collected }: Sampler): void {
    const traces = collected.splice(0);
    if (traces.length === 0 || !this.file) return;
    if (settings.logFrequency > 0) this.file.writeNumbered(traces);
    else for (const trace of traces) this.file.add(trace);
  }

  /** New settings count and collect anew; what was collected under the old ones is written. */
  private restart(model: string): void {
    for (const [key, sampler] of this.samplers) {
      if (model !== '' && key !== model) continue;
      this.handOver(sampler);
      this.samplers.delete(key);
    }
    this.file?.append();
  }

  private look(): void {
    const wanted = ['', ...this.overrides.keys()].some((model) => this.effective(model).levels.length > 0);
    if (wanted && !this.file && !this.exporter) {
      this.logger.warn('requests are traced, and the traces go nowhere: start with --trace-config=triton,file=PATH');
    }
    this.active = wanted && (this.file !== undefined || this.exporter !== undefined);
  }
}
