#!/usr/bin/perl
# The guest's end of the command channel: it runs argv for the host and joins connections to unix sockets.
# One connection runs one command at a time and is used again for the next, so that a command costs one fork and
# one round trip. Only perl-base is needed, and no module that is slow to load: POSIX stays out.
#
# A frame is: type (1 byte), length (4 bytes, big endian), payload.
#   from the host   R run, C connect to a unix socket, I input, E end of input, K kill (payload: signal number)
#   to the host     H hello, o stdout, e stderr, x exit (payload: wait status), f not started (payload: why), O connected
use strict;
use warnings;
use Errno qw(EINTR EAGAIN);
use Fcntl qw(F_GETFL F_SETFL O_NONBLOCK);
use Socket qw(:DEFAULT IPPROTO_TCP TCP_NODELAY SOMAXCONN);

use constant CHUNK_BYTES     => 65536;
use constant INPUT_MAX_BYTES => 1 << 20;
use constant FRAME_MAX_BYTES => 16 << 20;

my $port = shift // die "Cannot start the agent: no port given\n";
my $received = '';    # bytes of this connection that are not yet a whole frame

# A pipe that the handler of SIGCHLD writes to, so that select wakes up when a command ends.
my ($wake_reader, $wake_writer);

sub write_all {
    my ($handle, $bytes) = @_;
    my $offset = 0;
    while ($offset < length $bytes) {
        my $count = syswrite $handle, $bytes, length($bytes) - $offset, $offset;
        if (!defined $count) { next if $! == EINTR; return 0 }
        $offset += $count;
    }
    return 1;
}

sub frame { my ($type, $payload) = @_; return $type . pack('N', length $payload) . $payload }

sub take_frame {
    return if length $received < 5;
    my $length = unpack 'N', substr $received, 1, 4;
    die "frame of $length bytes\n" if $length > FRAME_MAX_BYTES;
    return if length $received < 5 + $length;
    my $whole = substr $received, 0, 5 + $length, '';
    return (substr($whole, 0, 1), substr($whole, 5));
}

sub read_more {
    my ($socket) = @_;
    while (1) {
        my $count = sysread $socket, $received, CHUNK_BYTES, length $received;
        return $count if defined $count;
        return 0 if $! != EINTR;
    }
}

sub make_nonblocking {
    my ($handle) = @_;
    fcntl $handle, F_SETFL, fcntl($handle, F_GETFL, 0) | O_NONBLOCK;
}

sub start_command {
    my ($payload) = @_;
    my ($cwd, $env_count, @words) = split /\0/, $payload, -1;
    my @env = splice @words, 0, $env_count;
    pipe my $in_reader,   my $in_writer;
    pipe my $out_reader,  my $out_writer;
    pipe my $err_reader,  my $err_writer;
    pipe my $fail_reader, my $fail_writer;
    my $pid = fork;
    return { failure => "fork: $!" } if !defined $pid;
    if ($pid == 0) {
        setpgrp 0, 0;
        open STDIN,  '<&', $in_reader;
        open STDOUT, '>&', $out_writer;
        open STDERR, '>&', $err_writer;
        # A shell starts what runs in the background with INT and QUIT ignored, and that would be inherited.
        $SIG{$_} = 'DEFAULT' for qw(CHLD PIPE INT QUIT);
        for my $pair (@env) { my ($name, $value) = split /=/, $pair, 2; $ENV{$name} = $value }
        if (chdir $cwd) { no warnings 'exec'; exec { $words[0] } @words }
        syswrite $fail_writer, $!{ENOENT} ? 'ENOENT' : $!{EACCES} ? 'EACCES' : $!{E2BIG} ? 'E2BIG' : "$!";
        kill 'KILL', $$;
    }
    # Here too: a kill that is already under way must find the group.
    setpgrp $pid, 0;
    make_nonblocking($_) for $in_writer, $out_reader, $err_reader;
    return { pid => $pid, in => $in_writer, out => $out_reader, err => $err_reader, fail => $fail_reader };
}

# Passes on a piece of what a pipe holds: its size, 0 when the pipe has ended, -1 when nothing is there now.
sub pass_on {
    my ($socket, $type, $pipe) = @_;
    while (1) {
        my $count = sysread $pipe, my $bytes, CHUNK_BYTES;
        if (!defined $count) { next if $! == EINTR; return -1 }
        write_all($socket, frame($type, $bytes)) if $count > 0;
        return $count;
    }
}

sub run_command {
    my ($socket, $payload) = @_;
    my $command = start_command($payload);
    if (defined $command->{failure}) { return write_all($socket, frame('f', $command->{failure})) }
    my ($input, $input_ended, $gone) = ('', 0, 0);
    my $close_input = sub { close $command->{in} if $command->{in}; $command->{in} = undef; $input = '' };
    while (1) {
        while (my ($type, $bytes) = take_frame()) {
            if    ($type eq 'I') { $input .= $bytes if $command->{in} }
            elsif ($type eq 'E') { $input_ended = 1 }
            elsif ($type eq 'K') { kill $bytes, -$command->{pid} }
            else                 { return 0 }
        }
        $close_input->() if $input_ended && $input eq '' && $command->{in};
        if (waitpid($command->{pid}, 1) == $command->{pid}) {    # 1 is WNOHANG
            my $status = $?;
            my $failed = sysread $command->{fail}, my $why, 256;
            for my $stream (['o', 'out'], ['e', 'err']) {
                my ($type, $name) = @$stream;
                # At most what the pipe could hold: a daemon left behind may go on writing.
                for (1 .. 32) { last if !$command->{$name} || pass_on($socket, $type, $command->{$name}) <= 0 }
            }
            return 0 if $gone;
            return write_all($socket, $failed ? frame('f', $why) : frame('x', pack 'N', $status));
        }
        my ($readable, $writable) = ('', '');
        vec($readable, fileno $wake_reader, 1) = 1;
        vec($readable, fileno $socket, 1) = 1 if !$gone && length $input < INPUT_MAX_BYTES;
        for my $name ('out', 'err') { vec($readable, fileno $command->{$name}, 1) = 1 if $command->{$name} }
        vec($writable, fileno $command->{in}, 1) = 1 if $command->{in} && $input ne '';
        # The limit is for the one signal that can arrive between waitpid and select.
        my $count = select $readable, $writable, undef, 0.25;
        next if $count <= 0;
        if (vec $readable, fileno $wake_reader, 1) { sysread $wake_reader, my $ignored, 64 }
        for my $stream (['o', 'out'], ['e', 'err']) {
            my ($type, $name) = @$stream;
            next if !$command->{$name} || !vec $readable, fileno $command->{$name}, 1;
            $command->{$name} = undef if pass_on($socket, $type, $command->{$name}) == 0;
        }
        if ($command->{in} && vec $writable, fileno $command->{in}, 1) {
            my $written = syswrite $command->{in}, $input, CHUNK_BYTES;
            if (defined $written) { substr $input, 0, $written, '' }
            elsif ($! != EAGAIN && $! != EINTR) { $close_input->() }
        }
        if (!$gone && vec($readable, fileno $socket, 1) && !read_more($socket)) {
            $gone = 1;
            kill 'KILL', -$command->{pid};
        }
    }
}

sub copy_until_end {
    my ($from, $to) = @_;
    while (1) {
        my $count = sysread $from, my $bytes, CHUNK_BYTES;
        if (!defined $count) { next if $! == EINTR; last }
        last if $count == 0 || !write_all($to, $bytes);
    }
    shutdown $to, 1;
}

# One process for each direction: with blocking copies there is no buffer to bound and no way to wait for oneself.
sub join_unix_socket {
    my ($socket, $path) = @_;
    my $local;
    socket $local, AF_UNIX, SOCK_STREAM, 0;
    if (!connect $local, pack_sockaddr_un($path)) { write_all($socket, frame('f', "$!")); return }
    write_all($socket, frame('O', '')) or return;
    write_all($local, $received) or return;
    my $pid = fork;
    return if !defined $pid;
    if ($pid == 0) { copy_until_end($local, $socket); exit 0 }
    copy_until_end($socket, $local);
    waitpid $pid, 0;
}

sub serve {
    my ($socket) = @_;
    setsockopt $socket, IPPROTO_TCP, TCP_NODELAY, 1;
    $SIG{PIPE} = 'IGNORE';
    pipe $wake_reader, $wake_writer;
    make_nonblocking($_) for $wake_reader, $wake_writer;
    $SIG{CHLD} = sub { local $!; syswrite $wake_writer, 'x' };
    write_all($socket, frame('H', '1')) or return;
    while (1) {
        my ($type, $payload) = take_frame();
        if (!defined $type) { read_more($socket) or return; next }
        if    ($type eq 'R') { run_command($socket, $payload) or return }
        elsif ($type eq 'C') { $SIG{CHLD} = 'DEFAULT'; join_unix_socket($socket, $payload); return }
        # Input or a kill may arrive after its command has ended: that is no fault.
        elsif ($type !~ /^[IEK]$/) { return }
    }
}

my ($listener, $socket);
socket $listener, AF_INET, SOCK_STREAM, 0 or die "Cannot make a socket: $!\n";
setsockopt $listener, SOL_SOCKET, SO_REUSEADDR, 1;
bind $listener, pack_sockaddr_in($port, INADDR_ANY) or die "Cannot bind to port $port: $!\n";
listen $listener, SOMAXCONN or die "Cannot listen on port $port: $!\n";
syswrite STDERR, "snapmerge-guest: ready\n";    # the host waits for this line
$SIG{CHLD} = 'IGNORE';
while (1) {
    if (!accept $socket, $listener) { next if $! == EINTR; die "Cannot accept: $!\n" }
    my $pid = fork;
    if (defined $pid && $pid == 0) { close $listener; serve($socket); exit 0 }
    close $socket;
}
