import {
  create,
  type DescEnum,
  type DescField,
  type DescMessage,
  type MessageShape,
  ScalarType,
} from '@bufbuild/protobuf';
import { reflect, type ReflectMessage } from '@bufbuild/protobuf/reflect';
import { didYouMean, errorMessage } from '../../core/index.ts';
import { configError } from './source-position.ts';
import { type FieldNode, itemsOf, type MessageNode, type ScalarNode, type ValueNode } from './syntax-tree.ts';

/**
 * Fills a protobuf message from a syntax tree.
 * @throws INVALID_ARG with `file:line:column`, the field, what was found and what is allowed
 */
export function buildMessage<Desc extends DescMessage>(
  schema: Desc,
  node: MessageNode,
  file: string,
): MessageShape<Desc> {
  const message = create(schema);
  fill(reflect(schema, message), node, file);
  return message;
}

function fill(target: ReflectMessage, node: MessageNode, file: string): void {
  const seen = new Map<DescField, FieldNode>();
  for (const fieldNode of node.fields) {
    const field = target.fields.find((candidate) => candidate.name === fieldNode.name);
    if (!field) {
      const names = target.fields.map((candidate) => candidate.name);
      throw configError(
        file,
        fieldNode.position,
        `message ${target.desc.name} has no field '${fieldNode.name}'${didYouMean(fieldNode.name, names) || `; it has: ${names.join(', ')}`}`,
      );
    }
    const before = seen.get(field);
    if (before && field.fieldKind !== 'list' && field.fieldKind !== 'map') {
      throw configError(
        file,
        fieldNode.position,
        `field '${field.name}' is given twice; first at line ${before.position.line}`,
      );
    }
    seen.set(field, fieldNode);
    setField(target, field, fieldNode.value, file);
  }
}

function setField(target: ReflectMessage, field: DescField, value: ValueNode, file: string): void {
  switch (field.fieldKind) {
    case 'list':
      for (const item of itemsOf(value)) {
        target.get(field).add(listItem(field, item, file));
      }
      return;
    case 'map':
      for (const item of itemsOf(value)) setMapEntry(target, field, item, file);
      return;
    case 'message': {
      const message = expectMessage(field.name, single(field, value, file), file);
      const nested = reflect(field.message);
      fill(nested, message, file);
      target.set(field, nested);
      return;
    }
    case 'enum':
      target.set(field, enumValue(field.enum, field.name, single(field, value, file), file));
      return;
    case 'scalar':
      target.set(field, scalarValue(field.scalar, field.name, single(field, value, file), file));
      return;
    default:
      field satisfies never;
  }
}

function single(field: DescField, value: ValueNode, file: string): ScalarNode | MessageNode {
  if (value.kind !== 'list') return value;
  throw configError(file, value.position, `field '${field.name}' takes one value, found a list`);
}

function listItem(field: DescField & { fieldKind: 'list' }, item: ScalarNode | MessageNode, file: string): unknown {
  switch (field.listKind) {
    case 'enum':
      return enumValue(field.enum, field.name, item, file);
    case 'scalar':
      return scalarValue(field.scalar, field.name, item, file);
    case 'message': {
      const nested = reflect(field.message);
      fill(nested, expectMessage(field.name, item, file), file);
      return nested;
    }
    default:
      return field satisfies never;
  }
}

function setMapEntry(
  target: ReflectMessage,
  field: DescField & { fieldKind: 'map' },
  item: ScalarNode | MessageNode,
  file: string,
): void {
  const entry = expectMessage(field.name, item, file);
  let key: ScalarNode | MessageNode | undefined;
  let value: ScalarNode | MessageNode | undefined;
  for (const part of entry.fields) {
    if (part.name === 'key') key = single(field, part.value, file);
    else if (part.name === 'value') value = single(field, part.value, file);
    else {
      throw configError(file, part.position, `an entry of '${field.name}' has 'key' and 'value', found '${part.name}'`);
    }
  }
  if (key === undefined) throw configError(file, entry.position, `an entry of '${field.name}' has no 'key'`);
  const keyValue = scalarValue(field.mapKey, 'key', key, file) as string;
  if (value === undefined) throw configError(file, entry.position, `an entry of '${field.name}' has no 'value'`);
  const map = target.get(field);
  switch (field.mapKind) {
    case 'message': {
      const nested = reflect(field.message);
      fill(nested, expectMessage('value', value, file), file);
      map.set(keyValue, nested);
      return;
    }
    case 'scalar':
      map.set(keyValue, scalarValue(field.scalar, 'value', value, file));
      return;
    case 'enum':
      map.set(keyValue, enumValue(field.enum, 'value', value, file));
      return;
    default:
      field satisfies never;
  }
}

function expectMessage(name: string, node: ScalarNode | MessageNode, file: string): MessageNode {
  if (node.kind === 'message') return node;
  throw configError(file, node.position, `field '${name}' takes a message in braces, found ${found(node)}`);
}

function enumValue(desc: DescEnum, name: string, node: ScalarNode | MessageNode, file: string): number {
  const names = desc.values.map((value) => value.name);
  if (node.kind === 'identifier') {
    const value = desc.values.find((candidate) => candidate.name === node.text);
    if (value) return value.number;
  } else if (node.kind === 'number') {
    const value = desc.values.find((candidate) => String(candidate.number) === node.text);
    if (value) return value.number;
  }
  const hint = node.kind === 'message' ? '' : didYouMean(node.text, names);
  throw configError(
    file,
    node.position,
    `field '${name}' takes one of ${names.join(', ')}, found ${found(node)}${node.kind === 'string' ? ' (without the quotes)' : ''}${hint}`,
  );
}

const INTEGER_RANGE: Partial<Record<ScalarType, readonly [bigint, bigint, string]>> = {
  [ScalarType.INT32]: [-(2n ** 31n), 2n ** 31n - 1n, 'a 32-bit integer'],
  [ScalarType.UINT32]: [0n, 2n ** 32n - 1n, 'an unsigned 32-bit integer'],
  [ScalarType.INT64]: [-(2n ** 63n), 2n ** 63n - 1n, 'a 64-bit integer'],
  [ScalarType.UINT64]: [0n, 2n ** 64n - 1n, 'an unsigned 64-bit integer'],
};

function scalarValue(
  type: ScalarType,
  name: string,
  node: ScalarNode | MessageNode,
  file: string,
): string | boolean | number | bigint {
  const fail = (expected: string): Error =>
    configError(file, node.position, `field '${name}' takes ${expected}, found ${found(node)}`);
  switch (type) {
    case ScalarType.STRING:
      if (node.kind !== 'string') throw fail('a quoted string');
      return node.text;
    case ScalarType.BOOL: {
      const value = node.kind === 'message' ? undefined : BOOLEANS[node.text];
      if (value === undefined || node.kind === 'string') throw fail('true or false');
      return value;
    }
    case ScalarType.FLOAT:
    case ScalarType.DOUBLE: {
      const value = node.kind === 'number' || node.kind === 'identifier' ? floatOf(node.text) : undefined;
      if (value === undefined) throw fail('a number');
      return value;
    }
    default: {
      const range = INTEGER_RANGE[type];
      if (!range) throw fail(`a value of protobuf type ${ScalarType[type]}`);
      const value = node.kind === 'number' ? integerOf(node.text) : undefined;
      if (value === undefined || value < range[0] || value > range[1]) {
        throw fail(`${range[2]} (${range[0]} to ${range[1]})`);
      }
      return type === ScalarType.INT64 || type === ScalarType.UINT64 ? value : Number(value);
    }
  }
}

const BOOLEANS: Readonly<Record<string, boolean>> = {
  true: true,
  True: true,
  t: true,
  '1': true,
  false: false,
  False: false,
  f: false,
  '0': false,
};

function integerOf(text: string): bigint | undefined {
  const sign = text.startsWith('-') ? -1n : 1n;
  const digits = text.replace(/^[+-]/, '');
  try {
    if (/^0[xX][0-9a-fA-F]+$/.test(digits)) return sign * BigInt(digits);
    if (/^0[0-7]+$/.test(digits)) return sign * BigInt(`0o${digits.slice(1)}`);
    return /^\d+$/.test(digits) ? sign * BigInt(digits) : undefined;
  } catch (error) {
    throw new Error(`cannot read integer '${text}': ${errorMessage(error)}`, { cause: error });
  }
}

function floatOf(text: string): number | undefined {
  const plain = text.toLowerCase();
  if (/^-?(inf|infinity)f?$/.test(plain))
    return plain.startsWith('-') ? Number.NEGATIVE_INFINITY : Number.POSITIVE_INFINITY;
  if (/^-?nanf?$/.test(plain)) return Number.NaN;
  const value = Number(plain.replace(/f$/, ''));
  return Number.isNaN(value) ? undefined : value;
}

function found(node: ScalarNode | MessageNode): string {
  switch (node.kind) {
    case 'message':
      return 'a message';
    case 'string':
      return JSON.stringify(node.text);
    case 'number':
    case 'identifier':
      return `'${node.text}'`;
    default:
      return node satisfies never;
  }
}
