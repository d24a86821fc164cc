import { invalidArgument } from '../../core/index.ts';
import type { LoadOverride } from '../backends/contract.ts';

/** How the parameters of a load request are read in the protocol that it came by. */
export interface LoadParameterReader<T> {
  config(value: T): string;
  file(value: T, name: string): Uint8Array;
}

/**
 * Configuration and files among the parameters of a load request
 * (https://github.com/triton-inference-server/server/blob/main/docs/protocol/extension_model_repository.md#load).
 * @throws INVALID_ARG for other parameters
 */
export function loadOverride<T>(
  parameters: Readonly<Record<string, T>>,
  reader: LoadParameterReader<T>,
): LoadOverride | undefined {
  let config: string | undefined;
  const files = new Map<string, Uint8Array>();
  for (const [name, value] of Object.entries(parameters)) {
    if (name === 'config') config = reader.config(value);
    else if (name.startsWith('file:')) files.set(name.slice('file:'.length), reader.file(value, name));
    else throw invalidArgument(`unknown parameter '${name}' of a load request: it takes 'config' and 'file:PATH'`);
  }
  if (config === undefined && files.size === 0) return undefined;
  return { ...(config === undefined ? {} : { config }), ...(files.size === 0 ? {} : { files }) };
}
