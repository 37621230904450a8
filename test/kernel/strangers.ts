// Other programs of a guest, as the contract's cases want them: processes that open devices of the pool, in its kernel.

import { dmName, isDeviceKey, poolName } from '../../src/vocabulary/ids.ts';
import type { DeviceKey, StoreName } from '../../src/vocabulary/ids.ts';
import type { Guest } from '../../vm/guest.ts';
import { LOOK_IN_GUEST_EVERY_MS, waitFor } from '../../vm/wait.ts';
import type { Rig, Strangers } from '../contract/rig.ts';

const LIMIT_MS = 60_000;

/**
 * One process a device, until that has gone: open, read past all caches, close. A read of a device that stands still waits
 * in the kernel. Prints one line for each device that it has begun with.
 */
const LOOKER = String.raw`
use strict;
$| = 1;
$SIG{CHLD} = 'IGNORE';
my ($READ_ONLY, $DIRECT) = (0, 0x4000);
my $memory = "\0" x (1 << 14);
substr($memory, 0, 1) = "\0";
my $start = -unpack('J', pack('p', $memory)) % 4096;
sub text { open my $file, '<', $_[0] or return ''; my $line = <$file> // ''; chomp $line; return $line }
my %known;
while (1) {
  for my $dir (glob '/sys/block/dm-*') {
    my $uuid = text("$dir/dm/uuid");
    next if $uuid !~ /SNAPMERGE.*-(view|pad|level[0-9]+|cow|tail[0-9]+)$/ || $known{"$dir $uuid"}++;
    next if fork;
    print "$uuid\n";
    my $node = $dir =~ s{^/sys/block/}{/dev/}r;
    while (text("$dir/dm/uuid") eq $uuid) {
      # Not there yet, or going: the next time.
      if (sysopen my $device, $node, $READ_ONLY | $DIRECT) { sysread $device, $memory, 4096, $start }
      # Often enough to come while it stands still; more would only take the processor away. A store's are there to be held.
      select undef, undef, undef, $uuid =~ /-(cow|tail[0-9]+)$/ ? 0.2 : 0.02;
    }
    exit 0;
  }
  select undef, undef, undef, 0.01;
}
`;

/** Opens the device that has this name in the kernel, and does something with it. */
const withDevice = (work: string): string => String.raw`
$| = 1;
my ($name) = @ARGV;
for my $file (glob '/sys/block/dm-*/dm/name') {
  open my $handle, '<', $file or next;
  chomp(my $found = <$handle> // '');
  next if $found ne $name;
  my $node = $file =~ s{^/sys/block/(.*)/dm/name$}{/dev/$1}r;
  open my $device, '<:raw', $node or die "open $node: $!\n";
  ${work}
  exit 0;
}
die "no device has the name $name\n";
`;

const HOLDER = withDevice('sleep 100000;');

/** A read that waits is ended by nothing but an answer. */
const READER = withDevice(String.raw`
  sysseek $device, -4096, 2;
  sysread $device, my $block, 4096;
`);

const POOL = poolName('test');

/** In the kernel. */
function nameOf(group: string, held: DeviceKey | StoreName): string {
  return isDeviceKey(held) ? dmName(POOL, held) : `${group}-${held}`;
}

export function guestStrangers(guest: Guest, group: string, rig: () => Pick<Rig, 'kernel'>): Strangers {
  return {
    lookThroughout: async (work) => {
      const ending = new AbortController();
      let seen = '';
      const look = async (): Promise<void> => {
        const { signal } = ending;
        const onStdout = (bytes: Uint8Array): void => void (seen += Buffer.from(bytes).toString());
        // A power cut ends them, too; they are there again when the guest is.
        while (!signal.aborted) {
          await guest.exec(['perl', '-e', LOOKER], { signal, onStdout }).catch(() => undefined);
          await waitFor(LIMIT_MS, () => (signal.aborted || guest.isRunning() ? true : undefined));
        }
      };
      const looking = look();
      try {
        const result = await work();
        if (seen === '') throw new Error('Nobody has looked at any device');
        return result;
      } finally {
        ending.abort();
        await looking;
      }
    },
    readEnd: async (device) => {
      let ended = false;
      const reading = guest.exec(['perl', '-e', READER, nameOf(group, device)]).finally(() => (ended = true));
      await until(`a read of the end of '${device}' is answered`, async () => ended);
      const { code, stderr } = await reading;
      if (code !== 0) throw new Error(`Cannot read the end of '${device}': ${Buffer.from(stderr).toString()}`);
    },
    hold: async (device) => {
      const openers = async (): Promise<number> => {
        const { devices, stores } = await rig().kernel.observe();
        return (isDeviceKey(device) ? devices.get(device) : stores.get(device))?.openCount ?? 0;
      };
      const before = await openers();
      const ending = new AbortController();
      const holding = guest.exec(['perl', '-e', HOLDER, nameOf(group, device)], { signal: ending.signal });
      await until(`'${device}' is held open`, async () => (await openers()) > before);
      return async () => {
        ending.abort();
        await holding;
      };
    },
  };
}

async function until(what: string, look: () => Promise<boolean>): Promise<void> {
  const done = await waitFor(LIMIT_MS, async () => ((await look()) ? true : undefined), LOOK_IN_GUEST_EVERY_MS);
  if (done === undefined) throw new Error(`Cannot wait any longer: want that ${what}`);
}
