import { type Punctuation, type Token, tokenize } from './lexer.ts';
import { configError, type SourcePosition } from './source-position.ts';
import type { ConfigWarning, FieldNode, MessageNode, ScalarNode, ValueNode } from './syntax-tree.ts';

/** How deep messages may nest; `ModelConfig` itself needs seven levels. */
const MAX_DEPTH = 64;

export interface ParsedText {
  readonly root: MessageNode;
  readonly warnings: readonly ConfigWarning[];
}

/**
 * Parses protobuf text format into a syntax tree: comments, `:`-less messages, `{}` and `<>`, lists, concatenated
 * strings, `,` and `;` between fields. A missing comma between list elements is accepted with a warning.
 * @throws INVALID_ARG with `file:line:column`
 */
export function parseText(text: string, file: string): ParsedText {
  return new Parser(tokenize(text, file), file).parse();
}

class Parser {
  private readonly tokens: readonly Token[];
  private readonly file: string;
  private readonly warnings: ConfigWarning[] = [];
  private index = 0;

  constructor(tokens: readonly Token[], file: string) {
    this.tokens = tokens;
    this.file = file;
  }

  parse(): ParsedText {
    const start = this.peek().position;
    const fields = this.fields(undefined, 0);
    return { root: { kind: 'message', fields, position: start }, warnings: this.warnings };
  }

  private fields(close: Punctuation | undefined, depth: number): FieldNode[] {
    if (depth > MAX_DEPTH) throw this.fail(this.peek().position, `messages nest deeper than ${MAX_DEPTH} levels`);
    const fields: FieldNode[] = [];
    for (;;) {
      const token = this.peek();
      if (token.kind === 'end') {
        if (close === undefined) return fields;
        throw this.fail(token.position, `expected '${close}' before the end of the file`);
      }
      if (close !== undefined && this.accept(close)) return fields;
      fields.push(this.field(depth));
      if (!this.accept(',')) this.accept(';');
    }
  }

  private field(depth: number): FieldNode {
    const token = this.next();
    if (token.kind !== 'identifier') {
      throw this.fail(token.position, `expected a field name, found ${describe(token)}`);
    }
    const colon = this.accept(':');
    const value = this.value(depth);
    if (!colon && (value.kind === 'string' || value.kind === 'number' || value.kind === 'identifier')) {
      throw this.fail(value.position, `expected ':' between field '${token.text}' and its value`);
    }
    return { name: token.text, value, position: token.position };
  }

  private value(depth: number): ValueNode {
    const open = this.peek();
    if (!this.accept('[')) return this.element(depth);
    const items: (ScalarNode | MessageNode)[] = [];
    if (this.accept(']')) return { kind: 'list', items, position: open.position };
    for (;;) {
      items.push(this.element(depth));
      if (this.accept(']')) return { kind: 'list', items, position: open.position };
      const next = this.peek();
      if (!this.accept(',')) {
        if (next.kind === 'end') throw this.fail(next.position, "expected ']' before the end of the file");
        this.warnings.push({ position: next.position, message: "missing ',' between list elements" });
      } else if (this.peek().text === ']' && this.peek().kind === 'punctuation') {
        this.warnings.push({ position: this.peek().position, message: "',' after the last list element" });
        this.accept(']');
        return { kind: 'list', items, position: open.position };
      }
    }
  }

  private element(depth: number): ScalarNode | MessageNode {
    const token = this.next();
    switch (token.kind) {
      case 'string':
        return { kind: 'string', text: token.text + this.concatenated(), position: token.position };
      case 'number':
      case 'identifier':
        return { kind: token.kind, text: token.text, position: token.position };
      case 'punctuation':
        if (token.text === '{') return this.message('}', token.position, depth);
        if (token.text === '<') return this.message('>', token.position, depth);
        throw this.fail(token.position, `expected a value, found '${token.text}'`);
      case 'end':
        throw this.fail(token.position, 'expected a value before the end of the file');
      default:
        return token satisfies never;
    }
  }

  private message(close: Punctuation, position: SourcePosition, depth: number): MessageNode {
    return { kind: 'message', fields: this.fields(close, depth + 1), position };
  }

  /** String literals that follow one another are one string. */
  private concatenated(): string {
    let text = '';
    for (let token = this.peek(); token.kind === 'string'; token = this.peek()) {
      text += token.text;
      this.index++;
    }
    return text;
  }

  private peek(): Token {
    const token = this.tokens[this.index];
    if (token === undefined) throw new Error('the token list has no end');
    return token;
  }

  private next(): Token {
    const token = this.peek();
    if (token.kind !== 'end') this.index++;
    return token;
  }

  private accept(text: Punctuation): boolean {
    const token = this.peek();
    if (token.kind !== 'punctuation' || token.text !== text) return false;
    this.index++;
    return true;
  }

  private fail(position: SourcePosition, message: string): Error {
    return configError(this.file, position, message);
  }
}

function describe(token: Token): string {
  return token.kind === 'string' ? JSON.stringify(token.text) : `'${token.text}'`;
}
