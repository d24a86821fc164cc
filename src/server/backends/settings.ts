import { invalidArgument } from '../../core/index.ts';
import type { ModelContext } from './contract.ts';

/**
 * A number of seconds: the model's parameter `parameter`, else `--backend-config=BACKEND,name=N`, else `fallback`.
 * @throws INVALID_ARG for anything else
 */
export function secondsSetting(
  { config, backendConfig }: ModelContext,
  name: string,
  fallback: number,
  parameter?: string,
): number {
  const own = parameter === undefined ? undefined : config.parameters[parameter]?.stringValue;
  if (own !== undefined) return seconds(`parameter ${parameter} of model '${config.name}'`, own);
  const text = backendConfig.get(name);
  return text === undefined ? fallback : seconds(`--backend-config=${config.backend},${name}`, text);
}

function seconds(what: string, text: string): number {
  const value = Number(text);
  if (text.trim() === '' || !Number.isFinite(value) || value < 0) {
    throw invalidArgument(`${what} must be a number of seconds >= 0, got '${text}'`);
  }
  return value;
}
