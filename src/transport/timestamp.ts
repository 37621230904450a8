// Times as google.protobuf.Timestamp has them. Pure.

/** Of Unix time in milliseconds. */
export function timestamp(ms: number): { readonly seconds: string; readonly nanos: number } {
  const seconds = Math.floor(ms / 1000);
  return { seconds: seconds.toString(), nanos: Math.round(ms - seconds * 1000) * 1_000_000 };
}
