import { invalidArgument, toServerError, unsupported } from '../../../core/index.ts';
import {
  encodeInferResponse,
  type HttpInferRequest,
  type HttpInferResponse,
  type InferenceOutcome,
  type InferenceRequest,
  type InferenceResponse,
  parseInferRequest,
} from '../../../protocol/index.ts';
import { type Engine, sharedMemoryOutputs } from '../../engine/index.ts';
import { type ErrorReplies, type HttpReply, type HttpRequest, JSON_TYPE, TEXT_TYPE } from '../exchange.ts';
import { type HeaderForwarding, withHeaders } from './header-forwarding.ts';
import { JsonOffload, OFFLOAD_BYTES } from './json-offload.ts';
import { rawRequest } from './raw-request.ts';

const HEADER_LENGTH = 'inference-header-content-length';
const BINARY_TYPE = 'application/octet-stream';

/** Outputs below this are joined with their JSON: one write, and the buffers are free at once. */
const COPY_BYTES = 16 * 1024;

type Reply = (reply: HttpReply) => void;

/** `POST /v2/models/M[/versions/V]/infer`. */
export class InferHandler {
  private readonly engine: Engine;
  private readonly forwarding: HeaderForwarding;
  private readonly errors: ErrorReplies;
  private readonly offload = new JsonOffload();

  constructor(engine: Engine, forwarding: HeaderForwarding, errors: ErrorReplies) {
    this.engine = engine;
    this.errors = errors;
    this.forwarding = forwarding;
  }

  /** Starts an inference; returns a function that cancels it. */
  handle(name: string, version: string, http: HttpRequest, reply: Reply): (() => void) | undefined {
    let headerLength: number | undefined;
    try {
      if (this.engine.model(name, version).decoupled) {
        throw unsupported("HTTP end point doesn't support models with decoupled transaction policy");
      }
      headerLength = headerLengthOf(http);
    } catch (error) {
      reply(this.errors(toServerError(error), TEXT_TYPE));
      return undefined;
    }
    const jsonLength = headerLength ?? http.body.length;
    if (jsonLength >= OFFLOAD_BYTES) return this.handleLong(name, version, http, headerLength, reply);
    try {
      const raw = jsonLength === 0;
      const parsed: HttpInferRequest = raw
        ? { request: rawRequest(this.engine.model(name, version), version, http.body), binaryByDefault: true }
        : parseInferRequest(name, version, http.body, headerLength);
      return this.infer(parsed, http, reply);
    } catch (error) {
      reply(this.errors(toServerError(error), JSON_TYPE));
      return undefined;
    }
  }

  /** Parses on the other thread first. */
  private handleLong(
    modelName: string,
    modelVersion: string,
    http: HttpRequest,
    headerLength: number | undefined,
    reply: Reply,
  ): () => void {
    let cancelled = false;
    let cancel: (() => void) | undefined;
    this.offload.parse({ modelName, modelVersion, body: http.body, headerLength }).then(
      (parsed) => {
        if (cancelled) return;
        try {
          cancel = this.infer(parsed, http, reply);
        } catch (error) {
          reply(this.errors(toServerError(error), JSON_TYPE));
        }
      },
      (error: unknown) => reply(this.errors(toServerError(error), JSON_TYPE)),
    );
    return () => {
      cancelled = true;
      cancel?.();
    };
  }

  private infer(parsed: HttpInferRequest, http: HttpRequest, reply: Reply): () => void {
    const request = withHeaders(parsed.request, http, this.forwarding, this.engine);
    return this.engine.infer(request, (outcome) => this.answer(parsed, outcome, reply));
  }

  private answer(parsed: HttpInferRequest, outcome: InferenceOutcome, reply: Reply): void {
    switch (outcome.kind) {
      case 'error':
        reply(this.errors(outcome.error, JSON_TYPE));
        return;
      case 'response':
        try {
          this.respond(parsed, outcome.response, reply);
        } catch (error) {
          reply(this.errors(toServerError(error), JSON_TYPE));
        }
        return;
      case 'empty-final':
        reply({ status: 200, contentType: JSON_TYPE, body: [] });
        return;
      default:
        outcome satisfies never;
    }
  }

  private respond({ request, binaryByDefault }: HttpInferRequest, response: InferenceResponse, reply: Reply): void {
    const sharedMemory = sharedMemoryOutputs(this.engine, request, response);
    const isBinary = binaryChoice(request, binaryByDefault);
    let jsonBytes = 0;
    for (const { name, data } of response.outputs)
      if (!isBinary(name) && !sharedMemory?.has(name)) jsonBytes += data.length;
    if (jsonBytes < OFFLOAD_BYTES) {
      reply(inferReply(encodeInferResponse(response, isBinary, sharedMemory), response));
      return;
    }
    const release = response.hold?.();
    const binary = response.outputs.map((output) => output.name).filter((name) => isBinary(name));
    this.offload
      .encode(response, binary, [...(sharedMemory ?? [])])
      .then(
        ({ text, binary: parts }) => reply(longReply(text, parts)),
        (error: unknown) => reply(this.errors(toServerError(error), JSON_TYPE)),
      )
      .finally(release);
  }
}

/** A reply whose parts belong to it alone. */
function longReply(text: Uint8Array, binary: readonly Uint8Array[]): HttpReply {
  if (binary.length === 0) return { status: 200, contentType: JSON_TYPE, body: [text] };
  const headers = [['Inference-Header-Content-Length', String(text.length)]] as const;
  // Views on a model's buffers are copied: those are free once this returns.
  return {
    status: 200,
    contentType: BINARY_TYPE,
    headers,
    body: [text, ...binary.map((part) => Uint8Array.from(part))],
  };
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

function inferReply(encoded: HttpInferResponse, response: InferenceResponse): HttpReply {
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
