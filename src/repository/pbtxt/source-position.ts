import { invalidArgument, type ServerError } from '../../core/index.ts';

/** A place in a configuration text; lines and columns count from 1. */
export interface SourcePosition {
  readonly line: number;
  readonly column: number;
}

/** An error that starts with `file:line:column:`. */
export function configError(file: string, position: SourcePosition, message: string): ServerError {
  return invalidArgument(`${file}:${position.line}:${position.column}: ${message}`);
}
