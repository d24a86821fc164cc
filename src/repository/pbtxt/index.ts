import { type ModelConfig, ModelConfigSchema } from '../../protocol/index.ts';
import { rewriteAliases } from './aliases.ts';
import { buildMessage } from './build-message.ts';
import { parseText } from './parser.ts';

/** A configuration and the warnings, `file:line:column: ...`, about what was accepted although it is not valid. */
export interface ParsedConfig {
  readonly config: ModelConfig;
  readonly warnings: readonly string[];
}

/**
 * Parses a `config.pbtxt`.
 * @param file name for error messages
 * @throws INVALID_ARG that starts with `file:line:column:`
 */
export function parseModelConfig(text: string, file: string): ParsedConfig {
  const parsed = parseText(text, file);
  const rewritten = rewriteAliases(parsed.root);
  const warnings = [...parsed.warnings, ...rewritten.warnings];
  return {
    config: buildMessage(ModelConfigSchema, rewritten.root, file),
    warnings: warnings.map(({ position, message }) => `${file}:${position.line}:${position.column}: ${message}`),
  };
}
