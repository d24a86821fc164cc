import { bufferOf, isJsonObject, type JsonObject, parseJsonText } from '../../../protocol/index.ts';
import { invalidField, OpenAiError } from './errors.ts';

/** Reads the fields of a request's JSON body; what is wrong is said with the field's name. */
export class Fields {
  private readonly json: JsonObject;

  constructor(body: Uint8Array) {
    let json: unknown;
    try {
      json = parseJsonText(bufferOf(body).toString('utf8'));
    } catch (error) {
      throw new OpenAiError(400, `the request body is not JSON: ${String(error)}`);
    }
    if (!isJsonObject(json)) throw new OpenAiError(400, 'the request body must be a JSON object');
    this.json = json;
  }

  /** A field's value; `null` counts as absent. */
  raw(name: string): unknown {
    return this.json[name] ?? undefined;
  }

  text(name: string): string {
    const value = this.raw(name);
    if (typeof value !== 'string' || value === '') throw invalidField(name, `'${name}' must be a text and not empty`);
    return value;
  }

  number(name: string): number | undefined {
    const value = this.raw(name);
    if (value !== undefined && typeof value !== 'number') {
      throw invalidField(name, `'${name}' must be a number, got ${JSON.stringify(value)}`);
    }
    return value;
  }

  integer(name: string, least: number, most: number): number | undefined {
    const value = this.number(name);
    if (value !== undefined && (!Number.isInteger(value) || value < least || value > most)) {
      throw invalidField(name, `'${name}' must be an integer from ${least} to ${most}, got ${value}`);
    }
    return value;
  }

  flag(name: string): boolean {
    const value = this.raw(name);
    if (value !== undefined && typeof value !== 'boolean') {
      throw invalidField(name, `'${name}' must be true or false, got ${JSON.stringify(value)}`);
    }
    return value ?? false;
  }

  /** A text, or a list of texts, as a list; empty when absent. */
  texts(name: string): readonly string[] {
    const value = this.raw(name);
    if (value === undefined) return [];
    const list: readonly unknown[] = Array.isArray(value) ? value : [value];
    return list.map((text) => {
      if (typeof text !== 'string') throw invalidField(name, `'${name}' must be a text or a list of texts`);
      return text;
    });
  }

  object(name: string): JsonObject {
    const value = this.raw(name);
    if (value === undefined) return {};
    if (!isJsonObject(value)) throw invalidField(name, `'${name}' must be an object`);
    return value;
  }

  /** Fields that change the answer and that no model here honours must not be passed over in silence. */
  refuse(names: readonly string[]): void {
    for (const name of names) {
      const value = this.raw(name);
      if (value === undefined || (Array.isArray(value) && value.length === 0)) continue;
      throw new OpenAiError(400, `'${name}' is not supported`, name, 'unsupported_parameter');
    }
  }
}
