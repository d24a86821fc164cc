import type { Endpoint } from './endpoint.ts';
import { KserveGrpcClient } from './grpc-client.ts';
import { type ExtraHeaders, KserveHttpClient } from './http-client.ts';
import type { KserveClient } from './kserve-client.ts';

/** A client for either protocol. */
export function createKserveClient(protocol: 'http' | 'grpc', endpoint: Endpoint, headers: ExtraHeaders): KserveClient {
  return protocol === 'http' ? new KserveHttpClient(endpoint, headers) : new KserveGrpcClient(endpoint, headers);
}
