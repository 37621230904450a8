#!/usr/bin/perl
# The guest's end of the command channel: it runs argv for the host and joins connections to unix sockets.
# One connection runs one command at a time and is used again for the next. Only perl-base is needed, and no module that is
# slow to load: POSIX stays out.
#
# Commands are started by a shell, one for each connection, that reads its lines from here: dash starts a program by vfork,
# where perl has to copy its memory first, which is more than the whole of a short command costs in a guest. The line names
# pipes of this process as /proc/PID/fd/N, so each command has its own, and a daemon that is left behind writes into none that
# another reads. A shell tells a signal as 128 and its number: a command that ends with such a code counts as ended by it. What a
# shell itself says of that, into the command's standard error, is taken out again.
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
# What Linux lets a program have of arguments and environment: one of them, and all together.
use constant WORD_MAX_BYTES  => 131071;
use constant WORDS_MAX_BYTES => 2 << 20;
use constant SIGNAL_MAX      => 64;

my $port = shift // die "Cannot start the agent: no port given\n";
my $received = '';    # bytes of this connection that are not yet a whole frame

# The shell of this connection: pid, where its lines go, and where it says how a command ended.
my $shell;

# What a shell says of a command that a signal has ended.
my $ENDED_BY = qr/(?:Hangup|Quit|Illegal instruction|Trace\/breakpoint trap|Aborted|Bus error|Floating point exception|Killed|User defined signal [12]|Segmentation fault|Alarm clock|Terminated|Bad system call)(?: \(core dumped\))?\n\z/;

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

sub start_shell {
    pipe my $line_reader,   my $line_writer;
    pipe my $status_reader, my $status_writer;
    my $pid = fork;
    die "fork: $!\n" if !defined $pid;
    if ($pid == 0) {
        # None of the signals ignored, for that would be inherited, and a group of its own for those that come from a terminal.
        setpgrp 0, 0;
        chdir '/';
        open STDIN,  '<&', $line_reader;
        open STDOUT, '>&', $status_writer;
        $SIG{$_} = 'DEFAULT' for qw(CHLD PIPE INT QUIT);
        # Of a file a shell reads as much as there is, of its own input byte by byte.
        exec 'sh', '/proc/self/fd/0' or kill 'KILL', $$;
    }
    make_nonblocking($status_reader);
    return { pid => $pid, lines => $line_writer, status => $status_reader, said => '' };
}

sub quoted { my ($word) = @_; $word =~ s/'/'\\''/g; return "'$word'" }

# The file of a program, or why there is none.
sub find_program {
    my ($name, $cwd, $path) = @_;
    my $failure = 'ENOENT';
    for my $file ($name =~ m{^/} ? $name : map { "$_/$name" } $name =~ m{/} ? $cwd : split /:/, $path) {
        next if !-e $file;
        return ($file) if -f _ && -x _;
        $failure = 'EACCES';
    }
    return (undef, $failure);
}

# All that the shell has started and that has not been orphaned since: the command under way, and not what earlier ones left.
sub started_by_shell {
    my %children;
    for my $file (glob '/proc/[0-9]*/stat') {
        open my $handle, '<', $file or next;
        my $stat = readline $handle // next;
        my ($pid) = $stat =~ /^(\d+)/;
        my (undef, $parent) = split / /, substr $stat, rindex($stat, ')') + 2;
        push @{ $children{$parent} }, $pid;
    }
    my @found = @{ $children{ $shell->{pid} } // [] };
    for (my $index = 0; $index < @found; $index++) { push @found, @{ $children{ $found[$index] } // [] } }
    return @found;
}

# Signals the command under way and what it has started: true when there was anything.
sub kill_command {
    my ($signal) = @_;
    my %stopped;
    # What stands still starts nothing that would be missed.
    while (1) {
        my @new = grep { !$stopped{$_} } started_by_shell();
        last if !@new;
        for my $pid (@new) { kill 'STOP', $pid; $stopped{$pid} = 1 }
    }
    kill $signal, keys %stopped;
    kill 'CONT', keys %stopped;
    return scalar %stopped;
}

sub start_command {
    my ($payload, $has_input) = @_;
    my ($cwd, $env_count, @words) = split /\0/, $payload, -1;
    my @env = splice @words, 0, $env_count;
    my $bytes = 0;
    for my $word (@env, @words) {
        return { failure => 'E2BIG' } if length $word > WORD_MAX_BYTES;
        $bytes += 9 + length $word;
    }
    return { failure => 'E2BIG' } if $bytes > WORDS_MAX_BYTES;
    my ($path) = ((map { /^PATH=(.*)/s ? $1 : () } @env), $ENV{PATH});
    my ($program, $failure) = find_program(shift @words, $cwd, $path);
    $failure = 'ENOENT' if $cwd !~ m{^/} || !-d $cwd;
    return { failure => $failure } if defined $failure;
    # Somebody may have ended it.
    $shell = undef if $shell && waitpid($shell->{pid}, 1) == $shell->{pid};    # 1 is WNOHANG
    $shell //= start_shell();
    pipe my $out_reader, my $out_writer;
    pipe my $err_reader, my $err_writer;
    my ($in_reader, $in_writer);
    pipe $in_reader, $in_writer if $has_input;
    make_nonblocking($_) for grep { $_ } $in_writer, $out_reader, $err_reader;
    my $line = $cwd eq '/' ? '' : 'cd ' . quoted($cwd) . ' && ';
    # A shell takes an assignment only of a name that its own variables could have.
    my @odd = grep { !/^[A-Za-z_][A-Za-z0-9_]*=/ } @env;
    for my $pair (@env) { $line .= "$1=" . quoted($2) . ' ' if $pair =~ /^([A-Za-z_][A-Za-z0-9_]*)=(.*)/s }
    $line .= join ' ', map { quoted($_) } (@odd ? ('/usr/bin/env', @odd) : ()), $program, @words;
    my $ends = "/proc/$$/fd";
    $line .= ' <' . ($has_input ? "$ends/" . fileno $in_reader : '/dev/null');
    $line .= " >$ends/" . fileno($out_writer) . " 2>$ends/" . fileno($err_writer) . "\necho \$?\n";
    $line .= "cd /\n" if $cwd ne '/';
    write_all($shell->{lines}, $line);
    return {
        in => $in_writer, out => $out_reader, err => $err_reader, held => '',
        # The shell opens them anew, at some time.
        kept => [$in_reader, $out_writer, $err_writer],
    };
}

# How the command under way has ended, as wait tells it; nothing while it has not.
sub ended {
    my $count = sysread $shell->{status}, $shell->{said}, 64, length $shell->{said};
    if (defined $count && $count == 0) {
        # Somebody has ended the shell itself: the next command gets another.
        waitpid $shell->{pid}, 0;
        $shell = undef;
        return $? || 1 << 8;
    }
    return if $shell->{said} !~ s/^(\d+)\n//;
    return $1 > 128 && $1 <= 128 + SIGNAL_MAX ? $1 - 128 : $1 << 8;
}

# Passes on a piece of what the command has written: its size, 0 when the pipe has ended, -1 when nothing is there now. What
# may be the shell's own word waits for what comes next.
sub pass_on {
    my ($socket, $type, $command) = @_;
    my $pipe = $type eq 'o' ? $command->{out} : $command->{err};
    while (1) {
        my $count = sysread $pipe, my $bytes, CHUNK_BYTES;
        if (!defined $count) { next if $! == EINTR; return -1 }
        if ($type eq 'e' && $count > 0) {
            $bytes = $command->{held} . $bytes;
            $command->{held} = $bytes =~ s/($ENDED_BY)// ? $1 : '';
        }
        write_all($socket, frame($type, $bytes)) if $bytes ne '';
        return $count;
    }
}

sub run_command {
    my ($socket, $payload) = @_;
    my ($input, $input_ended, $gone, $command, $signal) = ('', 0, 0);
    my $close_input = sub { close $command->{in} if $command->{in}; $command->{in} = undef; $input = '' };
    while (1) {
        while (my ($type, $bytes) = take_frame()) {
            if    ($type eq 'I') { $input .= $bytes if !$command || $command->{in} }
            elsif ($type eq 'E') { $input_ended = 1 }
            elsif ($type eq 'K') { $signal = $bytes }
            else                 { return 0 }
        }
        if (!$command) {
            $command = start_command($payload, !$input_ended || $input ne '');
            if (defined $command->{failure}) { return write_all($socket, frame('f', $command->{failure})) }
        }
        $close_input->() if $input_ended && $input eq '' && $command->{in};
        my $status = ended();
        if (defined $status) {
            for my $type ('o', 'e') {
                # At most what the pipe could hold: a daemon left behind may go on writing.
                for (1 .. 32) { last if pass_on($socket, $type, $command) <= 0 }
            }
            my $by_signal = ($status & 127) != 0;
            write_all($socket, frame('e', $command->{held})) if !$by_signal && $command->{held} ne '';
            return $gone ? 0 : write_all($socket, frame('x', pack 'N', $status));
        }
        # A kill may come before the shell has started anything.
        $signal = undef if defined $signal && kill_command($signal);
        my ($readable, $writable) = ('', '');
        vec($readable, fileno $shell->{status}, 1) = 1;
        vec($readable, fileno $socket, 1) = 1 if !$gone && length $input < INPUT_MAX_BYTES;
        for my $name ('out', 'err') { vec($readable, fileno $command->{$name}, 1) = 1 }
        vec($writable, fileno $command->{in}, 1) = 1 if $command->{in} && $input ne '';
        my $count = select $readable, $writable, undef, defined $signal ? 0.01 : undef;
        next if $count <= 0;
        for my $stream (['o', 'out'], ['e', 'err']) {
            my ($type, $name) = @$stream;
            pass_on($socket, $type, $command) if vec $readable, fileno $command->{$name}, 1;
        }
        if ($command->{in} && vec $writable, fileno $command->{in}, 1) {
            my $written = syswrite $command->{in}, $input, CHUNK_BYTES;
            if (defined $written) { substr $input, 0, $written, '' }
            elsif ($! != EAGAIN && $! != EINTR) { $close_input->() }
        }
        if (!$gone && vec($readable, fileno $socket, 1) && !read_more($socket)) {
            $gone = 1;
            $signal = 'KILL';
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
    $SIG{CHLD} = 'DEFAULT';
    write_all($socket, frame('H', '1')) or return;
    while (1) {
        my ($type, $payload) = take_frame();
        if (!defined $type) { read_more($socket) or return; next }
        if    ($type eq 'R') { run_command($socket, $payload) or return }
        elsif ($type eq 'C') { join_unix_socket($socket, $payload); return }
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
