/** Groups of calls that a key can be asked for (`--http-restricted-api`, `--grpc-restricted-protocol`). */
export const RESTRICTED_APIS = [
  'health',
  'metadata',
  'inference',
  'shared-memory',
  'model-config',
  'model-repository',
  'statistics',
  'trace',
  'logging',
] as const;
export type RestrictedApi = (typeof RESTRICTED_APIS)[number];

/** The header that a call of a restricted group must carry, and its value. */
export interface Restriction {
  readonly header: string;
  readonly value: string;
}

export type Restrictions = ReadonlyMap<RestrictedApi, Restriction>;

/**
 * The header that is missing or wrong; `undefined` when the call may go on.
 * @param header a header's value by its lower-case name
 */
export function missingHeader(
  restrictions: Restrictions,
  api: RestrictedApi,
  header: (name: string) => string | undefined,
): string | undefined {
  const restriction = restrictions.get(api);
  if (!restriction || header(restriction.header.toLowerCase()) === restriction.value) return undefined;
  return restriction.header;
}
