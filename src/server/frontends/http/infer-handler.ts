import { invalidArgument, type ServerError, toServerError } from '../../../core/index.ts';
import {
  encodeInferResponse,
  type HttpInferRequest,
  type InferenceOutcome,
  type InferenceRequest,
  type InferenceResponse,
  parseInferRequest,
} from '../../../protocol/index.ts';
import { type Engine, sharedMemoryOutputs } from '../../engine/index.ts';
import { errorReply, type HttpReply, type HttpRequest, JSON_TYPE, TEXT_TYPE } from './exchange.ts';
import { rawRequest } from './raw-request.ts';

const HEADER_LENGTH = 'inference-header-content-length';
const BINARY_TYPE = 'application/octet-stream';

/** Outputs below this are joined with their JSON: one write, and the buffers are free at once. */
const COPY_BYTES = 16 * 1024;

type Reply = (reply: HttpReply) => void;

/** `POST /v2/models/M[/versions/V]/infer`. */
export function handleInfer(
  engine: Engine,
  name: string,
  version: string,
  http: HttpRequest,
  reply: Reply,
): (() => void) | undefined {
  try {
    engine.model(name, version);
  } catch (error) {
    replyError(toServerError(error), reply, TEXT_TYPE);
    return undefined;
  }
  let headerLength: number | undefined;
  try {
    headerLength = headerLengthOf(http);
  } catch (error) {
    replyError(toServerError(error), reply, TEXT_TYPE);
    return undefined;
  }
  try {
    const raw = headerLength === 0 || http.body.length === 0;
    const parsed: HttpInferRequest = raw
      ? { request: rawRequest(engine.model(name, version), version, http.body), binaryByDefault: true }
      : parseInferRequest(name, version, http.body, headerLength);
    return engine.infer(parsed.request, (outcome) => answer(engine, parsed, outcome, reply));
  } catch (error) {
    replyError(toServerError(error), reply, JSON_TYPE);
    return undefined;
  }
}

function headerLengthOf(http: HttpRequest): number | undefined {
  const text = http.header(HEADER_LENGTH);
  if (text === undefined) return undefined;
  const length = Number(text);
  if (!/^-?\d+$/.test(text)) {
    throw invalidArgument(`Inference-Header-Content-Length must be a number of bytes, got '${text}'`);
  }
  if (length < 0 || length > http.body.length) {
    throw invalidArgument(`inference header size should be in range (0, ${http.body.length}), got: ${text}`);
  }
  return length;
}

function answer(engine: Engine, parsed: HttpInferRequest, outcome: InferenceOutcome, reply: Reply): void {
  switch (outcome.kind) {
    case 'error':
      replyError(outcome.error, reply, JSON_TYPE);
      return;
    case 'response':
      try {
        reply(responseReply(engine, parsed, outcome.response));
      } catch (error) {
        replyError(toServerError(error), reply, JSON_TYPE);
      }
      return;
    case 'empty-final':
      reply({ status: 200, contentType: JSON_TYPE, body: [] });
      return;
    default:
      outcome satisfies never;
  }
}

function replyError(error: ServerError, reply: Reply, contentType: string): void {
  reply(errorReply(error.httpStatus, error.message, contentType));
}

function responseReply(engine: Engine, parsed: HttpInferRequest, response: InferenceResponse): HttpReply {
  const { request, binaryByDefault } = parsed;
  const sharedMemory = sharedMemoryOutputs(engine, request, response);
  const encoded = encodeInferResponse(response, binaryChoice(request, binaryByDefault), sharedMemory);
  if (encoded.binary.length === 0) return { status: 200, contentType: JSON_TYPE, body: [Buffer.from(encoded.json)] };
  const jsonLength = Buffer.byteLength(encoded.json);
  const headers = [['Inference-Header-Content-Length', String(jsonLength)]] as const;
  if (encoded.binaryBytes <= COPY_BYTES) {
    const body = Buffer.allocUnsafe(jsonLength + encoded.binaryBytes);
    let offset = body.write(encoded.json);
    for (const data of encoded.binary) {
      body.set(data, offset);
      offset += data.length;
    }
    return { status: 200, contentType: BINARY_TYPE, headers, body: [body] };
  }
  const release = response.hold?.();
  return {
    status: 200,
    contentType: BINARY_TYPE,
    headers,
    body: [Buffer.from(encoded.json), ...encoded.binary],
    ...(release ? { release } : {}),
  };
}

function binaryChoice(request: InferenceRequest, byDefault: boolean): (name: string) => boolean {
  if (request.outputs.length === 0) return () => byDefault;
  return (name) => request.outputs.find((output) => output.name === name)?.binary ?? false;
}
