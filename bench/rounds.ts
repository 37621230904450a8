// A B A B: all sides in turn, one round after the other, so that whatever changes on the machine meanwhile meets them all. It
// goes on until what was found says yes or no, or a limit is reached. It knows nothing of what is measured.

export interface Rounds {
  readonly least: number;
  readonly most: number;
}

export type Found<Name extends string, T> = ReadonlyMap<Name, readonly T[]>;

/** `settled` is asked after the least number of rounds, and after each further one. */
export async function inTurn<Name extends string, T>(
  { least, most }: Rounds,
  sides: readonly (readonly [Name, (round: number) => Promise<T>])[],
  settled: (found: Found<Name, T>) => boolean = () => true,
): Promise<Found<Name, T>> {
  const found = new Map<Name, T[]>(sides.map(([name]) => [name, []]));
  for (let round = 0; round < most; round += 1) {
    for (const [name, measure] of sides) found.get(name)?.push(await measure(round));
    if (round + 1 >= least && settled(found)) break;
  }
  return found;
}

/** What a side found, which is there because it was among the sides. */
export function of<Name extends string, T>(found: Found<Name, T>, name: Name): readonly T[] {
  const values = found.get(name);
  if (values === undefined) throw new RangeError(`Cannot find what '${name}' measured: it was not among the sides`);
  return values;
}
