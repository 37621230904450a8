// Values as JSON for programs: sizes as numbers of bytes, what is not known as null. Pure.

export function toJson(value: unknown): string {
  return `${JSON.stringify(value, plain, 2)}\n`;
}

function plain(_: string, value: unknown): unknown {
  if (typeof value === 'bigint') return Number(value);
  return value === undefined ? null : value;
}
