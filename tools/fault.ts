// An error that a person can act on: the verbs print its message without a stack.

export class ToolError extends Error {
  constructor(message: string, options?: { readonly cause?: unknown }) {
    super(message, options);
    this.name = 'ToolError';
  }
}
