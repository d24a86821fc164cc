import { toServerError } from '../../../core/index.ts';
import {
  bufferOf,
  encodeGenerateResponse,
  type InferenceOutcome,
  type InferenceRequest,
  isFinal,
  parseGenerateRequest,
  parseJsonText,
} from '../../../protocol/index.ts';
import { type Engine, modelMetadata } from '../../engine/index.ts';
import {
  type BodyStream,
  type ErrorReplies,
  errorReply,
  type HttpReply,
  type HttpRequest,
  type HttpStreamReply,
  jsonReply,
} from '../exchange.ts';
import { type HeaderForwarding, withHeaders } from './header-forwarding.ts';

const EVENT_STREAM = 'text/event-stream; charset=utf-8';

const ONE_RESPONSE =
  'generate expects model to produce exactly 1 response, use generate stream for model that generates various number of responses';

type Reply = (reply: HttpReply | HttpStreamReply) => void;

/** `POST /v2/models/M[/versions/V]/generate` and `/generate_stream`. */
export class GenerateHandler {
  private readonly engine: Engine;
  private readonly forwarding: HeaderForwarding;
  private readonly errors: ErrorReplies;

  constructor(engine: Engine, forwarding: HeaderForwarding, errors: ErrorReplies) {
    this.engine = engine;
    this.errors = errors;
    this.forwarding = forwarding;
  }

  /** Starts an inference; returns a function that cancels it. */
  handle(name: string, version: string, streaming: boolean, http: HttpRequest, reply: Reply): (() => void) | undefined {
    try {
      const request = this.parse(name, version, http);
      const answer = streaming ? streamAnswer(reply) : singleAnswer(reply, this.errors);
      return this.engine.infer(request, answer);
    } catch (thrown) {
      reply(this.errors(toServerError(thrown)));
      return undefined;
    }
  }

  private parse(name: string, version: string, http: HttpRequest): InferenceRequest {
    const model = this.engine.model(name, version);
    const body = parseJsonText(bufferOf(http.body).toString('utf8'));
    const { inputs } = modelMetadata(model, []);
    const request = parseGenerateRequest(body, { name, version, inputs });
    return withHeaders(request, http, this.forwarding, this.engine);
  }
}

/** Exactly one response makes an answer; Triton says so with status 200 when there were more, or none. */
function singleAnswer(reply: Reply, errors: ErrorReplies): (outcome: InferenceOutcome) => void {
  let answer: HttpReply | undefined;
  let responses = 0;
  return (outcome) => {
    if (outcome.kind === 'response') {
      responses++;
      answer ??= encode(outcome);
    } else if (outcome.kind === 'error') {
      responses++;
      answer ??= errors(outcome.error);
    }
    if (!isFinal(outcome)) return;
    reply(responses === 1 && answer ? answer : errorReply(200, ONE_RESPONSE));
  };
}

function encode({ response }: InferenceOutcome & { kind: 'response' }): HttpReply {
  try {
    return jsonReply(200, encodeGenerateResponse(response));
  } catch (thrown) {
    const error = toServerError(thrown);
    return errorReply(error.httpStatus, error.message);
  }
}

/** Server-sent events, one a response. The status is that of the first one. */
function streamAnswer(reply: Reply): (outcome: InferenceOutcome) => void {
  let body: BodyStream | undefined;
  const send = (status: number, json: string | undefined): void => {
    if (!body) reply({ status, contentType: EVENT_STREAM, start: (stream) => (body = stream) });
    if (json !== undefined) body?.write(`data: ${json}\n\n`);
  };
  return (outcome) => {
    if (outcome.kind === 'response') {
      const answer = encode(outcome);
      send(answer.status, answer.body.map((part) => bufferOf(part).toString()).join(''));
    } else if (outcome.kind === 'error') {
      send(outcome.error.httpStatus, JSON.stringify({ error: outcome.error.message }));
    } else {
      send(200, undefined);
    }
    if (isFinal(outcome)) body?.end();
  };
}
