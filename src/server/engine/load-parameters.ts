import { invalidArgument } from '../../core/index.ts';
import { notSupported } from './engine.ts';

/**
 * The configuration among the parameters of a load request, as text; file overrides are not there yet and say so.
 * @param configText reads the value in the way of the protocol that it came by
 */
export function configOverride<T>(
  parameters: Readonly<Record<string, T>>,
  configText: (value: T) => string,
): string | undefined {
  let config: string | undefined;
  for (const [name, value] of Object.entries(parameters)) {
    if (name.startsWith('file:')) throw notSupported(`overriding a model's files at load ('${name}')`);
    if (name !== 'config') throw invalidArgument(`unknown parameter '${name}' of a load request: it takes 'config'`);
    config = configText(value);
  }
  return config;
}
