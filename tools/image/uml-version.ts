// Which package of User Mode Linux is taken, pure. Debian's unstable suite moves on and its mirrors drop what it leaves
// behind, so the one that was tried may be gone one day; and older kernels panic.

/** The package that the tests were run with. */
export const PINNED = {
  version: '7.2um1',
  sha256: 'f947c9244fd79d481299df2ad68961f6b3b7703bff38c4b0e726f861161da62c',
} as const;

/** The first place where a successor may be found. */
export const SUITES = ['sid', 'forky'] as const;

/** Kernels before it (6.1 of bookworm, 6.12 of trixie) panic on processors with AMX. */
const FIRST_GOOD = 7;

export interface Listed {
  readonly version: string;
  readonly suite: string;
}

export type Choice =
  | { readonly take: 'pinned' }
  | { readonly take: 'listed'; readonly version: string; readonly why: string }
  | { readonly take: 'none'; readonly why: string };

/** Of what `apt-cache madison` prints: `package | version | mirror suite/component architecture Packages`. */
export const listedIn = (text: string): readonly Listed[] =>
  text.split('\n').flatMap((line) => {
    const [, version = '', source = ''] = line.split('|').map((field) => field.trim());
    const suite = / ([a-z]+)\/[a-z]+ [a-z0-9]+ Packages$/.exec(source)?.[1];
    return version === '' || suite === undefined ? [] : [{ version, suite }];
  });

/** By the numbers in them, from the left: 7.10um1 is newer than 7.2um2. */
const isNewer = (one: string, other: string): boolean => {
  const [mine, theirs] = [one, other].map((version) => (version.match(/\d+/g) ?? []).map(Number));
  for (const [index, number] of (mine ?? []).entries()) {
    const against = theirs?.[index] ?? -1;
    if (number !== against) return number > against;
  }
  return false;
};

/** False for what is known to panic, and for what does not begin with the version of a kernel. */
const isGood = (version: string): boolean => Number(/^(\d+)\.\d/.exec(version)?.[1] ?? 0) >= FIRST_GOOD;

/** `listed` is asked for only where the mirror has the pinned package no more. */
export const choosePackage = (pinnedIsThere: boolean, listed: readonly Listed[]): Choice => {
  if (pinnedIsThere) return { take: 'pinned' };
  const gone = `the mirror has user-mode-linux ${PINNED.version} no more`;
  for (const suite of SUITES) {
    const [newest] = listed
      .filter((one) => one.suite === suite && isGood(one.version))
      .toSorted((a, b) => (isNewer(a.version, b.version) ? -1 : 1));
    if (newest !== undefined)
      return {
        take: 'listed',
        version: newest.version,
        why: `${gone}: taking ${newest.version} of ${suite}, with which nobody has run the tests`,
      };
  }
  const refused = listed.map(({ version, suite }) => `${version} of ${suite}`);
  const rest =
    refused.length === 0
      ? 'nor any other'
      : `and ${refused.join(', ')} cannot be used: kernels before ${FIRST_GOOD}.0 panic`;
  return { take: 'none', why: `${gone}, ${rest}` };
};
