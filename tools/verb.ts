// What a verb of ./dev is.

export interface Verb {
  /** One line for `./dev help`. */
  readonly summary: string;
  /** Arguments as typed after the verb; resolves with the exit code. */
  readonly run: (args: readonly string[]) => Promise<number>;
}
