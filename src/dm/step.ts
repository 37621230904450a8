// The vocabulary of change: what the executor can do to the kernel, one command each. Pure values; `stepText` is how they
// appear in logs and stories.

import type { DeviceKey, StoreName } from '../vocabulary/ids.ts';
import type { Table } from './table.ts';
import { tableText } from './table.ts';

export type Step =
  /** Make stores' own block devices appear (LVM activation): one command for all, because each costs a scan. */
  | { readonly do: 'activate'; readonly stores: readonly StoreName[] }
  /** Take stores' block devices away; refused by LVM for those that anything uses. */
  | { readonly do: 'deactivate'; readonly stores: readonly StoreName[] }
  /** A new device without a table. */
  | { readonly do: 'create'; readonly device: DeviceKey }
  /** A new device with its table, live: all at once, where nobody waits. */
  | { readonly do: 'make'; readonly device: DeviceKey; readonly table: Table; readonly readOnly: boolean }
  /** Another table, live at once; what waits in a tail goes on in it. For a cow or a tail nothing that it shows changes. */
  | { readonly do: 'swap'; readonly device: DeviceKey; readonly table: Table; readonly readOnly: boolean }
  /** Put a table into the inactive slot. Loading a snapshot table reads its store. */
  | { readonly do: 'load'; readonly device: DeviceKey; readonly table: Table; readonly readOnly: boolean }
  /** Empty the inactive slot. */
  | { readonly do: 'clear'; readonly device: DeviceKey }
  /** Freeze the mounted file system if there is one, wait for everything under way, queue what comes. */
  | { readonly do: 'suspend'; readonly device: DeviceKey }
  /** Make what the device has acknowledged durable: a cache flush through its live table. */
  | { readonly do: 'flush'; readonly device: DeviceKey }
  /** Swap in the inactive table if there is one, and let everything go on. */
  | { readonly do: 'resume'; readonly device: DeviceKey }
  | { readonly do: 'remove'; readonly device: DeviceKey };

export function stepText(step: Step): string {
  switch (step.do) {
    case 'activate':
    case 'deactivate':
      return `${step.do} ${step.stores.join(', ')}`;
    case 'load':
    case 'make':
    case 'swap':
      return `${step.do} ${step.device}${step.readOnly ? ' (read-only)' : ''}: ${tableText(step.table).replaceAll('\n', '; ')}`;
    case 'create':
    case 'clear':
    case 'suspend':
    case 'flush':
    case 'resume':
    case 'remove':
      return `${step.do} ${step.device}`;
  }
}
