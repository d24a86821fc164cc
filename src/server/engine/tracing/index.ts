export type { OpenTelemetryOptions } from './open-telemetry.ts';
export * from './settings.ts';
export * from './tracer.ts';
export { traceTensors } from './trace-tensors.ts';
