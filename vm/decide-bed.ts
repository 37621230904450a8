// Which bed guests of this machine get, and the sentence that says so; pure. The best first: KVM, with this machine's own
// processors and the kernel that Debian ships; User Mode Linux, as fast as this machine lets programs be, which under some
// hypervisors is slower than emulation where processes are started and memory is mapped; emulation, which works anywhere.

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
  /** The version of its kernel and how long it takes to start a process, or why there is none. */
  readonly uml: () => Promise<{ readonly release: string; readonly processMs: number } | string>;
  /** How long an emulated kernel takes for that, or why that is not known. */
  readonly emulatedMs: () => Promise<number | string>;
}

const onQemu = (accelerator: Accelerator, release: string): string =>
  `guests run Linux ${release} on QEMU, ${accelerator === 'kvm' ? 'with KVM' : 'emulated'}`;

const onUml = (release: string): string => `guests run Linux ${release} as a program (User Mode Linux)`;

/** Both were measured on a machine that may have been busy, and a mistake here costs more than it could gain. */
const CLEARLY = 0.75;

const inMs = (ms: number): string => `${ms.toFixed(1)} ms`;

/** Or why there is nothing of what is asked for. */
export const decideBed = async ({
  asked,
  release,
  kvm,
  uml,
  emulatedMs,
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
      const noKvm = 'there is no KVM here that works';
      if (typeof found === 'string') {
        const reasons = `${noKvm}, and User Mode Linux cannot be used: ${found}`;
        return { kind: 'qemu', about: `${onQemu('tcg', release)}, which is slow: ${reasons}` };
      }
      const emulated = await emulatedMs();
      if (typeof emulated === 'string' || found.processMs <= CLEARLY * emulated)
        return { kind: 'uml', about: `${onUml(found.release)}: ${noKvm}` };
      const reasons = `${noKvm}, and User Mode Linux takes ${inMs(found.processMs)} here to start a process, an emulated kernel ${inMs(emulated)}`;
      return { kind: 'qemu', about: `${onQemu('tcg', release)}, which is slow: ${reasons}` };
    }
    default:
      return { cannot: `Cannot use SNAPMERGE_GUEST='${asked}': it is 'uml' or 'qemu'` };
  }
};
