// What can go wrong, as kinds. Code branches on a kind, never on the words of a message, and nothing here knows gRPC:
// rpc.ts alone turns a kind into a status code.

export type ErrorKind =
  /** The request itself is wrong; the same request will never work. */
  | 'invalid'
  /** The thing that the request names does not exist on this node. */
  | 'not-found'
  /** The name is taken by a thing with other parameters. */
  | 'exists'
  /** The request is right, but the state of the volume forbids it now. */
  | 'precondition'
  /** Another operation on the same family is under way; try again. */
  | 'busy'
  /** No room in the pool, or the source lives on another node. */
  | 'exhausted'
  /** A size or position outside of what can be. */
  | 'out-of-range'
  /** LVM, the kernel or a pool does not answer. */
  | 'unavailable'
  /** The records contradict each other: nothing is touched. */
  | 'contradiction'
  /** The caller went away. */
  | 'cancelled'
  /** A command failed, or a law was broken: a fault of ours or of the machine. */
  | 'internal';

export class SnapmergeError extends Error {
  readonly kind: ErrorKind;
  constructor(kind: ErrorKind, message: string, options?: { readonly cause?: unknown }) {
    super(message, options);
    this.name = 'SnapmergeError';
    this.kind = kind;
  }
}

export function fail(kind: ErrorKind, message: string, cause?: unknown): never {
  throw new SnapmergeError(kind, message, cause === undefined ? {} : { cause });
}

/** What LVM, or the records of a family, do not tell now. */
export function isOfRecords(error: unknown): boolean {
  return error instanceof SnapmergeError && (error.kind === 'unavailable' || error.kind === 'contradiction');
}

export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** For what cannot happen: a broken assumption is reported where it broke, not later. */
export function assert(condition: boolean, what: string): asserts condition {
  if (!condition) throw new SnapmergeError('internal', `Cannot go on: ${what}`);
}

/** The end of an exhaustive switch. */
export function unreachable(value: never): never {
  throw new SnapmergeError('internal', `Cannot happen: ${JSON.stringify(value)}`);
}
