import { isJsonObject } from '../../../protocol/index.ts';
import type { AnswerOptions, AnswerStyle } from './answer.ts';
import { invalidField } from './errors.ts';
import type { Fields } from './fields.ts';
import type { Generation, Logprob } from './language-model.ts';

/** Choices that one request may ask for. */
const MOST_CHOICES = 128;
const MOST_STOPS = 4;
const MOST_LOGPROBS = 20;

/** `POST /v1/chat/completions` (https://platform.openai.com/docs/api-reference/chat). */
export function chatOptions(fields: Fields): AnswerOptions {
  fields.refuse(['tools', 'tool_choice', 'functions', 'function_call', 'audio', 'logit_bias', 'prediction']);
  refuseFormat(fields);
  const logprobs = fields.flag('logprobs');
  const top = fields.integer('top_logprobs', 0, MOST_LOGPROBS);
  if (top !== undefined && !logprobs) throw invalidField('top_logprobs', "'top_logprobs' needs 'logprobs' to be true");
  return options(fields, [{ kind: 'chat', messages: JSON.stringify(messagesOf(fields)) }], false, {
    max_tokens: fields.integer('max_completion_tokens', 1, 2 ** 31 - 1) ?? fields.integer('max_tokens', 1, 2 ** 31 - 1),
    logprobs: logprobs ? (top ?? 0) : undefined,
  });
}

/** `POST /v1/completions` (https://platform.openai.com/docs/api-reference/completions). */
export function completionOptions(fields: Fields): AnswerOptions {
  fields.refuse(['suffix', 'logit_bias']);
  const prompts = fields.texts('prompt');
  if (prompts.length === 0) throw invalidField('prompt', "'prompt' must be a text or a list of texts");
  const best = fields.integer('best_of', 1, MOST_CHOICES);
  if (best !== undefined && best !== (fields.integer('n', 1, MOST_CHOICES) ?? 1)) {
    throw invalidField('best_of', "'best_of' must be the same as 'n': all choices are answered");
  }
  return options(
    fields,
    prompts.map((text) => ({ kind: 'text', text })),
    fields.flag('echo'),
    {
      // What OpenAI's own endpoint gives when it is not told.
      max_tokens: fields.integer('max_tokens', 1, 2 ** 31 - 1) ?? 16,
      logprobs: fields.integer('logprobs', 0, MOST_LOGPROBS),
    },
  );
}

function options(
  fields: Fields,
  prompts: readonly Generation['prompt'][],
  echo: boolean,
  settings: Generation['settings'],
): AnswerOptions {
  const model = fields.text('model');
  const stream = fields.flag('stream');
  const count = fields.integer('n', 1, MOST_CHOICES) ?? 1;
  const stop = fields.texts('stop');
  if (stop.length > MOST_STOPS)
    throw invalidField('stop', `'stop' takes at most ${MOST_STOPS} texts, got ${stop.length}`);
  const streamOptions = fields.object('stream_options');
  const seed = fields.integer('seed', 0, 2 ** 32 - 1);
  const shared = {
    ...settings,
    temperature: fields.number('temperature') ?? 1,
    top_p: fields.number('top_p') ?? 1,
    frequency_penalty: fields.number('frequency_penalty'),
    presence_penalty: fields.number('presence_penalty'),
  };
  const generations = prompts.flatMap((prompt) =>
    Array.from({ length: count }, (_, index) => ({
      model,
      prompt,
      stream,
      echo,
      stop,
      // The same seed for each would make them all the same.
      settings: { ...shared, seed: seed === undefined ? undefined : (seed + index) % 2 ** 32 },
    })),
  );
  if (generations.length > MOST_CHOICES) {
    throw invalidField('n', `the request asks for ${generations.length} choices, at most ${MOST_CHOICES} are given`);
  }
  return {
    model,
    generations,
    choicesPerPrompt: count,
    stream,
    includeUsage: stream && streamOptions['include_usage'] === true,
  };
}

function refuseFormat(fields: Fields): void {
  const type = fields.object('response_format')['type'];
  if (type !== undefined && type !== 'text') {
    throw invalidField('response_format', `'response_format' must be of type 'text', got ${JSON.stringify(type)}`);
  }
}

/** The messages, with the parts of their contents put together. */
function messagesOf(fields: Fields): readonly object[] {
  const messages = fields.raw('messages');
  if (!Array.isArray(messages) || messages.length === 0) {
    throw invalidField('messages', "'messages' must be a list of messages, and not empty");
  }
  return messages.map((message: unknown, index) => {
    if (!isJsonObject(message) || typeof message['role'] !== 'string') {
      throw invalidField(`messages[${index}].role`, `'messages[${index}]' must have a role`);
    }
    return { ...message, role: message['role'], content: contentOf(message['content'], index) };
  });
}

function contentOf(content: unknown, index: number): string {
  if (content === undefined || content === null) return '';
  if (typeof content === 'string') return content;
  const parts: readonly unknown[] = Array.isArray(content) ? content : [];
  const texts = parts.map((part) => (isJsonObject(part) && part['type'] === 'text' ? part['text'] : undefined));
  if (parts.length > 0 && texts.every((text) => typeof text === 'string')) return texts.join('');
  throw invalidField(
    `messages[${index}].content`,
    `'messages[${index}].content' must be a text, or parts of type 'text'`,
  );
}

/** The reasons of OpenAI's protocol. */
function publicReason(reason: string): string {
  return reason === 'length' ? 'length' : 'stop';
}

export const CHAT_STYLE: AnswerStyle = {
  idPrefix: 'chatcmpl',
  object: 'chat.completion',
  chunkObject: 'chat.completion.chunk',
  choice: (index, text, reason, logprobs) => ({
    index,
    message: { role: 'assistant', content: text, refusal: null },
    logprobs: chatLogprobs(logprobs),
    finish_reason: publicReason(reason),
  }),
  chunk: (index, text, reason, logprobs, first) => ({
    index,
    delta: {
      ...(first ? { role: 'assistant', content: text } : {}),
      ...(text === '' ? {} : { content: text }),
    },
    logprobs: chatLogprobs(logprobs),
    finish_reason: reason === null ? null : publicReason(reason),
  }),
};

function chatLogprobs(logprobs: readonly Logprob[]): object | null {
  return logprobs.length === 0 ? null : { content: logprobs, refusal: null };
}

export const COMPLETION_STYLE: AnswerStyle = {
  idPrefix: 'cmpl',
  object: 'text_completion',
  chunkObject: 'text_completion',
  choice: (index, text, reason, logprobs) => ({
    index,
    text,
    logprobs: textLogprobs(logprobs),
    finish_reason: publicReason(reason),
  }),
  chunk: (index, text, reason, logprobs) => ({
    index,
    text,
    logprobs: textLogprobs(logprobs),
    finish_reason: reason === null ? null : publicReason(reason),
  }),
};

function textLogprobs(logprobs: readonly Logprob[]): object | null {
  if (logprobs.length === 0) return null;
  let offset = 0;
  return {
    tokens: logprobs.map(({ token }) => token),
    token_logprobs: logprobs.map(({ logprob }) => logprob),
    top_logprobs: logprobs.map(({ top_logprobs }) =>
      Object.fromEntries(top_logprobs.map(({ token, logprob }) => [token, logprob])),
    ),
    text_offset: logprobs.map(({ token }) => {
      const at = offset;
      offset += token.length;
      return at;
    }),
  };
}
