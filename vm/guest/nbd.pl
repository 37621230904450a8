#!/usr/bin/perl
# Makes a disk of an NBD server, for kernels that no machine brings it to: nbd.pl ADDRESS PORT DEVICE. The handshake is done
# here, the requests are the business of the kernel's own client, which a process has to wait in.
use strict;
use warnings;
use Socket qw(:DEFAULT IPPROTO_TCP TCP_NODELAY);

use constant {
    SET_SOCKET         => 0xab00,
    SET_BLOCK_SIZE     => 0xab01,
    DO_IT              => 0xab03,
    SET_BLOCKS         => 0xab07,
    SET_FLAGS          => 0xab0a,
    SECTOR_BYTES       => 512,
    # Fixed newstyle, and no zeroes behind the answer.
    CLIENT_FLAGS       => 3,
    EXPORT_NAME        => 1,
    LOOKS              => 1500,
    LOOK_EVERY_SECONDS => 0.02,
};

my ($address, $port, $device) = @ARGV;
socket my $server, AF_INET, SOCK_STREAM, 0 or die "Cannot make a socket: $!\n";
connect $server, pack_sockaddr_in($port, inet_aton($address)) or die "Cannot reach $address:$port: $!\n";
setsockopt $server, IPPROTO_TCP, TCP_NODELAY, 1;

sub take {
    my ($want) = @_;
    my $bytes = '';
    while (length $bytes < $want) {
        sysread $server, $bytes, $want - length $bytes, length $bytes or die "The server has closed the connection\n";
    }
    return $bytes;
}

take(length 'NBDMAGICIHAVEOPT' . pack 'n', 0);
syswrite $server, pack('N', CLIENT_FLAGS) . 'IHAVEOPT' . pack 'NN', EXPORT_NAME, 0;
my ($size, $flags) = unpack 'Q>n', take(10);

open my $disk, '+<', $device or die "Cannot open $device: $!\n";
sub tell_kernel {
    my ($what, $request, $argument) = @_;
    ioctl $disk, $request, $argument or die "Cannot set the $what of $device: $!\n";
}
tell_kernel('block size', SET_BLOCK_SIZE, SECTOR_BYTES);
tell_kernel('size', SET_BLOCKS, $size / SECTOR_BYTES);
tell_kernel('flags', SET_FLAGS, $flags);
tell_kernel('socket', SET_SOCKET, fileno $server);

my $sys = '/sys/block/' . ($device =~ s{.*/}{}r);
sub is_there {
    open my $file, '<', "$sys/size" or return 0;
    return -e "$sys/pid" && <$file> == $size / SECTOR_BYTES;
}

my $pid = fork // die "Cannot fork: $!\n";
if ($pid) {
    # The disk is there only once the other process waits in the kernel.
    for (1 .. LOOKS) { exit 0 if is_there(); select undef, undef, undef, LOOK_EVERY_SECONDS }
    die "The kernel does not make $device a disk\n";
}
# Whoever started this waits for the end of what it says.
open STDIN, '<', '/dev/null';
open STDOUT, '>', '/dev/null';
setpgrp 0, 0;
ioctl $disk, DO_IT, 0;
