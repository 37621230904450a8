# Tells who opens what below /dev: a line `PID INODE` for each, or for several of one process and one file that nobody has read
# yet. By fanotify with file ids, because an event that comes with a descriptor holds its device open.
use strict;
use warnings;
use constant {
  FANOTIFY_INIT => 300, FANOTIFY_MARK => 301,    # x86-64
  FAN_CLOEXEC => 0x1, FAN_UNLIMITED_QUEUE => 0x10, FAN_REPORT_FID => 0x200,
  FAN_MARK_ADD => 0x1, FAN_MARK_MOUNT => 0x10, FAN_OPEN => 0x20,
  AT_FDCWD => -100, O_RDONLY => 0,
  EVENT_BYTES => 24, HANDLE_AT => 20,
};
$| = 1;
my $fan = syscall FANOTIFY_INIT, FAN_CLOEXEC | FAN_UNLIMITED_QUEUE | FAN_REPORT_FID, O_RDONLY;
die "fanotify_init: $!\n" if $fan < 0;
my $dev = "/dev\0";
syscall(FANOTIFY_MARK, $fan, FAN_MARK_ADD | FAN_MARK_MOUNT, FAN_OPEN, AT_FDCWD, $dev) == 0 or die "fanotify_mark: $!\n";
open my $events, '<&=', $fan or die "$!\n";
print "ready\n";
while (sysread $events, my $buffer, 1 << 16) {
  while (length $buffer) {
    my ($length, $pid) = unpack 'L x16 l', $buffer;
    # After the event a header of 4 bytes, the file system's id of 8, and the handle: its length, its type, what tmpfs puts
    # in it, which is a generation and the inode's number.
    my ($inode) = unpack 'x4 Q', substr $buffer, EVENT_BYTES + HANDLE_AT, 12;
    print "$pid $inode\n";
    substr $buffer, 0, $length, '';
  }
}
