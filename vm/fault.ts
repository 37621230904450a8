// What can go wrong with a guest, as kinds, so that a test can tell a lost guest from a command that cannot start.

export type GuestErrorKind =
  /** QEMU ended, was cut, or the channel to it broke while something was under way. */
  | 'lost'
  /** The guest did not come up, or not in time. */
  | 'boot'
  /** The program cannot be started in the guest: not there, not executable, too many words. */
  | 'cannot-start'
  /** It is not what was asked for: running when it should not be, or the reverse. */
  | 'state'
  /** A command of this library's own failed in the guest. */
  | 'failed';

export class GuestError extends Error {
  readonly kind: GuestErrorKind;
  constructor(kind: GuestErrorKind, message: string, options?: { readonly cause?: unknown }) {
    super(message, options);
    this.name = 'GuestError';
    this.kind = kind;
  }
}
