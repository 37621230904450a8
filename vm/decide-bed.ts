// Which bed guests of this machine get, and the sentence that says so; pure. The best first: KVM, with this machine's own
// processors and the kernel that Debian ships; User Mode Linux, as fast; emulation, which works anywhere.

import type { Accelerator } from './qemu-argv.ts';
import type { BedKind } from './state.ts';

export interface Decision {
  readonly kind: BedKind;
  /** For people: a sentence without an end. */
  readonly about: string;
}

/** What is there, each asked for only where it matters; a text says why not. */
export interface Offer {
  readonly asked: string | undefined;
  /** Of the kernel that QEMU starts. */
  readonly release: string;
  readonly kvm: () => Promise<boolean>;
  /** The version of its kernel, or why there is none. */
  readonly uml: () => Promise<{ readonly release: string } | string>;
}

const onQemu = (accelerator: Accelerator, release: string): string =>
  `guests run Linux ${release} on QEMU, ${accelerator === 'kvm' ? 'with KVM' : 'emulated'}`;

const onUml = (release: string): string => `guests run Linux ${release} as a program (User Mode Linux)`;

/** Or why there is nothing of what is asked for. */
export const decideBed = async ({
  asked,
  release,
  kvm,
  uml,
}: Offer): Promise<Decision | { readonly cannot: string }> => {
  const wish = ', as asked for';
  switch (asked) {
    case 'qemu':
      return { kind: 'qemu', about: `${onQemu((await kvm()) ? 'kvm' : 'tcg', release)}${wish}` };
    case 'uml': {
      const found = await uml();
      if (typeof found === 'string') return { cannot: `Cannot use User Mode Linux: ${found}` };
      return { kind: 'uml', about: `${onUml(found.release)}${wish}` };
    }
    case undefined: {
      if (await kvm()) return { kind: 'qemu', about: onQemu('kvm', release) };
      const found = await uml();
      if (typeof found !== 'string')
        return { kind: 'uml', about: `${onUml(found.release)}: there is no KVM here that works` };
      const reasons = `there is no KVM here that works, and User Mode Linux cannot be used: ${found}`;
      return { kind: 'qemu', about: `${onQemu('tcg', release)}, which is slow: ${reasons}` };
    }
    default:
      return { cannot: `Cannot use SNAPMERGE_GUEST='${asked}': it is 'uml' or 'qemu'` };
  }
};
