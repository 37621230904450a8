// A B A B: all sides in turn, one round after the other, so that whatever changes on the machine meanwhile meets them all.
// It knows nothing of what is measured.

export async function inTurn<Name extends string, T>(
  rounds: number,
  sides: readonly (readonly [Name, (round: number) => Promise<T>])[],
): Promise<ReadonlyMap<Name, readonly T[]>> {
  const found = new Map<Name, T[]>(sides.map(([name]) => [name, []]));
  for (let round = 0; round < rounds; round += 1) {
    for (const [name, measure] of sides) found.get(name)?.push(await measure(round));
  }
  return found;
}

/** What a side found, which is there because it was among the sides. */
export function of<Name extends string, T>(found: ReadonlyMap<Name, readonly T[]>, name: Name): readonly T[] {
  const values = found.get(name);
  if (values === undefined) throw new RangeError(`Cannot find what '${name}' measured: it was not among the sides`);
  return values;
}
