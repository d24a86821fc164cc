import type { DataType } from '../../../tensor/index.ts';
import type { Parameters } from '../../../protocol/index.ts';
import type { ErrorCode } from '../../../core/index.ts';

/** A tensor in a message: where its bytes are (0: in the message, 1: in shared memory), from where, how many. */
export type WireTensor = readonly [
  name: string,
  datatype: DataType,
  shape: readonly number[],
  place: 0 | 1,
  offset: number,
  length: number,
];

/** What came of a request: a response, an error, or the wish to be called with it once more. */
export type WireResult =
  | readonly ['r', readonly WireTensor[], Parameters]
  | readonly ['e', ErrorCode, string]
  | readonly ['a'];

/** What a model asks the server; each gets one answer, `infer` any number. */
export type Question =
  | {
      readonly k: 'infer';
      readonly m: string;
      readonly v: number;
      readonly i: string;
      readonly c: readonly [text: boolean, id: string];
      readonly g: number;
      readonly t: number;
      readonly p: Parameters;
      readonly o: readonly string[];
      readonly x: readonly WireTensor[];
      readonly d: boolean;
      readonly r: string | null;
    }
  | { readonly k: 'cancelled'; readonly u: number }
  | {
      readonly k: 'load';
      readonly m: string;
      readonly files: Readonly<Record<string, string>>;
      readonly config: string;
    }
  | { readonly k: 'unload'; readonly m: string; readonly d: boolean }
  | { readonly k: 'ready'; readonly m: string; readonly v: string }
  | { readonly k: 'family'; readonly n: string; readonly h: string; readonly t: 'counter' | 'gauge' | 'histogram' }
  | {
      readonly k: 'metric';
      readonly n: string;
      readonly l: Readonly<Record<string, string>>;
      readonly b: readonly number[] | null;
      readonly o: 'new' | 'increment' | 'set' | 'observe' | 'value';
      readonly v: number;
    };

/** A question with the number that its answer carries. */
export type Asked = Question & { readonly q: number };

/** What the process says, apart from its questions. */
export type Report =
  | { readonly k: 'ready'; readonly q?: undefined }
  | { readonly k: 'fatal'; readonly e: string }
  /** The end of `load`, `init` or `end`. */
  | { readonly k: 'done'; readonly v?: unknown; readonly e?: string }
  /** The end of an execution: a result per request (`null`: it answers later), and nanoseconds by stage. */
  | { readonly k: 'x'; readonly r: readonly (WireResult | null)[]; readonly t: readonly [number, number, number] }
  /** A response by a sender, and whether it is the last. */
  | { readonly k: 's'; readonly u: number; readonly w: WireResult | null; readonly l: boolean }
  /** No further response to a question is wanted. */
  | { readonly k: 'stop'; readonly n: number }
  | { readonly k: 'log'; readonly t: string; readonly v: 'INFO' | 'WARNING' | 'ERROR' | 'VERBOSE' };

/** What comes of executions. */
export type ExecutionMessage = Extract<Report, { readonly k: 'x' | 's' }>;

/** Everything that a process sends; `f` names pieces of the server's memory that it is done with. */
export type FromProcess = (Asked | Report) & { readonly f?: readonly number[] };

export function isQuestion(message: FromProcess): message is Asked & { readonly f?: readonly number[] } {
  return 'q' in message && message.q !== undefined;
}
