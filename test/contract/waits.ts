// What may wait for ever, begun and looked at later. On a real node it runs in the background; in the simulation it is
// tried again at each look.

import type { DeviceKey } from '../../src/vocabulary/ids.ts';
import type { Step } from '../../src/dm/step.ts';
import type { BlockWrite } from './rig.ts';

export interface Underway {
  /** True when it has not ended after a look that is long enough to believe. */
  readonly waits: () => Promise<boolean>;
  /** How it ended, or ends now; throws when it does not. */
  readonly ends: () => Promise<'done' | 'failed'>;
}

export interface Waits {
  readonly step: (step: Step) => Underway;
  /** One write, acknowledged and made durable when done. */
  readonly write: (device: DeviceKey, write: BlockWrite) => Underway;
  /** An fsync. */
  readonly flush: (device: DeviceKey) => Underway;
  /** I/O that has entered a device and not left it. */
  readonly inflight: (device: DeviceKey) => Promise<number>;
  /** Long enough for merges to get as far as they can. */
  readonly settle: () => Promise<void>;
}
