export { createKserveClient } from './create-client.ts';
export { ClientError } from './client-error.ts';
export { type ClientTls, type Endpoint, parseEndpoint } from './endpoint.ts';
export { GrpcAnswer, grpcHeaders } from './grpc-call.ts';
export { KserveGrpcClient, SERVICE } from './grpc-client.ts';
export { errorText, type ExtraHeaders, KserveHttpClient, modelPath, requestHead } from './http-client.ts';
export { Http1Connection } from './http1-connection.ts';
export { type ClientStream, Http2ClientConnection } from './http2-connection.ts';
export type { DurationName, KserveClient, ModelStatistics, TensorMetadata } from './kserve-client.ts';
