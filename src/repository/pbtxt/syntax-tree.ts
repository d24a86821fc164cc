import type { SourcePosition } from './source-position.ts';

/** A value in a configuration text, before anybody knows which field it belongs to. */
export type ValueNode = ScalarNode | MessageNode | ListNode;

export interface ScalarNode {
  readonly kind: 'string' | 'number' | 'identifier';
  readonly text: string;
  readonly position: SourcePosition;
}

export interface MessageNode {
  readonly kind: 'message';
  readonly fields: readonly FieldNode[];
  readonly position: SourcePosition;
}

export interface ListNode {
  readonly kind: 'list';
  readonly items: readonly (ScalarNode | MessageNode)[];
  readonly position: SourcePosition;
}

export interface FieldNode {
  readonly name: string;
  readonly value: ValueNode;
  readonly position: SourcePosition;
}

/** Something accepted although it is not valid, with the right form in its text. */
export interface ConfigWarning {
  readonly position: SourcePosition;
  readonly message: string;
}

/** The values of a field written once, several times, or as a list: always a flat list. */
export function itemsOf(value: ValueNode): readonly (ScalarNode | MessageNode)[] {
  return value.kind === 'list' ? value.items : [value];
}

export function fieldsNamed(message: MessageNode, name: string): readonly FieldNode[] {
  return message.fields.filter((field) => field.name === name);
}

/** The text of a scalar field, when the message has one of that name. */
export function scalarText(message: MessageNode, name: string): string | undefined {
  const value = fieldsNamed(message, name)[0]?.value;
  return value === undefined || value.kind === 'message' || value.kind === 'list' ? undefined : value.text;
}
