import { type DescField, type DescMessage, fromJson, type JsonValue } from '@bufbuild/protobuf';
import { reflect, type ReflectMessage } from '@bufbuild/protobuf/reflect';
import { errorMessage, invalidArgument } from '../core/index.ts';
import { parseExactJson } from './json-text.ts';
import { type ModelConfig, ModelConfigSchema } from './model-config.ts';

/**
 * A model configuration as Triton's HTTP `/config` prints it: fields in the order of the `.proto` file under their own
 * names, every scalar and repeated field even at its default, messages only when set, 64-bit integers as numbers.
 */
export function modelConfigToJson(config: ModelConfig): string {
  return messageToJson(reflect(ModelConfigSchema, config));
}

function messageToJson(message: ReflectMessage): string {
  const members: string[] = [];
  for (const field of message.fields) {
    const text = fieldToJson(message, field);
    if (text !== undefined) members.push(`${JSON.stringify(field.name)}:${text}`);
  }
  return `{${members.join(',')}}`;
}

function fieldToJson(message: ReflectMessage, field: DescField): string | undefined {
  switch (field.fieldKind) {
    case 'message':
      return message.isSet(field) ? messageToJson(message.get(field)) : undefined;
    case 'list':
      return `[${Array.from(message.get(field), (item) => valueToJson(item, field.listKind === 'enum' ? field.enum : undefined)).join(',')}]`;
    case 'map':
      return `{${Array.from(
        message.get(field),
        ([key, value]) => `${JSON.stringify(String(key))}:${valueToJson(value, undefined)}`,
      ).join(',')}}`;
    case 'enum':
      if (field.oneof && !message.isSet(field)) return undefined;
      return valueToJson(message.get(field), field.enum);
    case 'scalar':
      if (field.oneof && !message.isSet(field)) return undefined;
      return valueToJson(message.get(field), undefined);
    default:
      return field satisfies never;
  }
}

function valueToJson(
  value: unknown,
  enumeration: { readonly value: Record<number, { name: string }> } | undefined,
): string {
  if (enumeration) return JSON.stringify(enumeration.value[Number(value)]?.name ?? value);
  if (typeof value === 'bigint') return String(value);
  if (typeof value === 'object' && value !== null) return messageToJson(value as ReflectMessage);
  return JSON.stringify(value);
}

/**
 * A model configuration from JSON: what `load` takes as its `config` parameter.
 * @throws INVALID_ARG naming the field that is wrong
 */
export function modelConfigFromJson(text: string): ModelConfig {
  try {
    return fromJson(ModelConfigSchema as DescMessage & typeof ModelConfigSchema, parseExactJson(text) as JsonValue);
  } catch (error) {
    throw invalidArgument(`cannot read the model configuration override: ${errorMessage(error)}`);
  }
}
