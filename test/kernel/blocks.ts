// Blocks of devices in a guest, written and read back past all caches, because devices over the same bytes have page
// caches of their own. One command for as many devices and writes as there are: under emulation the start of a command
// costs more than most of them do. What comes back is the tag of each block, not its bytes.

import type { Exec } from '../../src/system/exec.ts';
import { output } from '../../src/system/exec.ts';
import type { BlockWrite } from '../contract/rig.ts';
import type { Guest } from '../../vm/guest.ts';

/** A node (`/dev/sda`) or the dm UUID of a device. */
export type Target = string;

export interface Part {
  readonly from: number;
  readonly count: number;
}

/** What `readBlocks` gives for a block that is not one tag throughout. */
const MIXED = -2;
const TAG_BYTES = 8;

/**
 * O_DIRECT wants its memory aligned. A device is found by what the kernel says of it: links to it may be late, or not
 * there. Numbers of the guest's architecture in the place of modules, which take five times as long to load as perl itself.
 */
const DEVICES = String.raw`
use strict;
my ($READ_ONLY, $READ_WRITE, $DIRECT, $FSYNC) = (0, 2, 0x4000, 74);
my $memory = "\0" x (1 << 21);
substr($memory, 0, 1) = "\0";
my $start = -unpack('J', pack('p', $memory)) % 4096;
sub node_of {
  my ($target) = @_;
  return $target if $target =~ m{^/};
  for my $file (glob '/sys/block/dm-*/dm/uuid') {
    open my $handle, '<', $file or next;
    my $uuid = <$handle> // '';
    chomp $uuid;
    return $file =~ s{^/sys/block/(.*)/dm/uuid$}{/dev/$1}r if $uuid eq $target;
  }
  die "no device has the uuid $target\n";
}
sub device {
  my ($target, $mode) = @_;
  sysopen(my $device, node_of($target), $mode | $DIRECT) or die "open $target: $!\n";
  return $device;
}
`;

/** Standard input: lines of a block number and its tags, one write a line, so that it reaches device-mapper as one I/O. */
const WRITER = String.raw`${DEVICES}
my $device = device($ARGV[0], $READ_WRITE);
while (my $line = <STDIN>) {
  my ($block, @tags) = split ' ', $line;
  my $data = join '', map { pack('Q<', $_) x 512 } @tags;
  substr($memory, $start, length $data) = $data;
  sysseek($device, $block * 4096, 0) or die "seek: $!";
  my $done = syswrite($device, $memory, length $data, $start);
  die "write: $!" unless defined $done && $done == length $data;
}
if ($ARGV[1] eq 'flush') { syscall($FSYNC, fileno $device) == 0 or die "sync: $!" }
`;

/** Standard output: for each device the number of its blocks, and then the tag of each, 8 bytes all of them. */
const READER = String.raw`${DEVICES}
my ($from, $count, @targets) = @ARGV;
my $mixed = pack 'q<', ${MIXED};
my ($piece, $zeroes) = (1 << 20, "\0" x (1 << 20));
for my $target (@targets) {
  my $device = device($target, $READ_ONLY);
  sysseek($device, $from * 4096, 0) or die "seek: $!";
  my ($tags, $left) = ('', $count < 0 ? -1 : $count * 4096);
  while ($left != 0) {
    my $wanted = $left < 0 || $left > $piece ? $piece : $left;
    my $got = sysread $device, $memory, $wanted, $start;
    die "read: $!\n" if !defined $got;
    last if $got == 0;
    $left -= $got if $left > 0;
    my $bytes = substr $memory, $start, $got;
    if ($got == $piece && $bytes eq $zeroes) { $tags .= "\0" x ($got / 512); next }
    for (my $at = 0; $at < $got; $at += 4096) {
      my $tag = substr $bytes, $at, 8;
      $tags .= substr($bytes, $at, 4096) eq $tag x 512 ? $tag : $mixed;
    }
  }
  print pack('Q<', length($tags) / 8), $tags;
}
`;

/** One write a command's line; flushed, or only acknowledged. */
export async function writeBlocks(
  exec: Exec,
  target: Target,
  writes: readonly BlockWrite[],
  then: 'flush' | 'leave',
): Promise<void> {
  const lines = writes.map(({ block, tags }) => `${block} ${tags.join(' ')}\n`).join('');
  await output(exec, ['perl', '-e', WRITER, target, then], { stdin: lines });
}

/** Tags of each device's blocks: all of them unless told. */
export async function readBlocks(
  guest: Guest,
  targets: readonly Target[],
  part: Part = { from: 0, count: -1 },
): Promise<readonly (readonly number[])[]> {
  if (targets.length === 0) return [];
  const argv = ['perl', '-e', READER, String(part.from), String(part.count), ...targets];
  const { code, stdout, stderr } = await guest.exec(argv);
  if (code !== 0) throw new Error(`Cannot read '${targets.join("', '")}': ${Buffer.from(stderr).toString()}`);
  const data = Buffer.from(stdout);
  let at = 0;
  const next = (): number => {
    at += TAG_BYTES;
    return Number(data.readBigInt64LE(at - TAG_BYTES));
  };
  return targets.map(() => Array.from({ length: next() }, next));
}
