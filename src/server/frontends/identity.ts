/** What the server says of itself on both protocols. */
export interface ServerIdentity {
  readonly name: string;
  readonly version: string;
  readonly extensions: readonly string[];
}

/** The extensions of Triton's protocol that this build serves. */
export const EXTENSIONS: readonly string[] = [
  'classification',
  'model_repository',
  'model_configuration',
  'system_shared_memory',
  'cuda_shared_memory',
  'binary_tensor_data',
  'parameters',
  'statistics',
  'logging',
];
