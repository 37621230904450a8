#!/usr/bin/perl
# Starts a guest of User Mode Linux in this very process, so that its number and a kill mean the kernel. Before that it makes
# what the kernel takes for given: a network of the guest's own with a tap in it, and relays in and out of that network, which
# end with the kernel. Only perl-base is needed.
#   uml-start.pl SETTING... -- KERNEL [ARGUMENT...]
#     port=PORT        of 127.0.0.1 of this machine: leads to the agent in the guest
#     address=ADDRESS  of the guest
#     tap=NAME         of the tap
#     socket=PATH      a unix socket of this machine: the first is reached by the guest as 10.0.2.2:10809, the next one port on
#     network=PATH     a network namespace that the guest shares with others, in place of one of its own
#     behind=ADDRESS   one more address that lies behind the guest's
use strict;
use warnings;
use Socket qw(:DEFAULT IPPROTO_TCP TCP_NODELAY SOMAXCONN);

use constant {
    PRCTL         => 157,
    UNSHARE       => 272,
    SETNS         => 308,
    SET_PDEATHSIG => 1,
    NEW_NET       => 0x40000000,
    NEW_USER      => 0x10000000,
    AGENT         => 7000,
    GATEWAY       => '10.0.2.2',
    FIRST_GATE    => 10809,
    COPY_BYTES    => 1 << 18,
};

my (%setting, @kernel);
while (@ARGV) {
    my $word = shift;
    if ($word eq '--') { @kernel = @ARGV; last }
    my ($key, $value) = $word =~ /^(\w+)=(.*)$/ or die "Cannot use the setting '$word'\n";
    push @{ $setting{$key} }, $value;
}
@kernel or die "Cannot start a guest: no kernel given\n";
my ($agent_port, $address, $tap, $network) = map { $setting{$_}[0] } qw(port address tap network);
my @sockets = @{ $setting{socket} // [] };
my @behind = @{ $setting{behind} // [] };
$| = 1;

# A process that ends with this one, whatever becomes of it.
sub companion {
    my ($work) = @_;
    my $parent = $$;
    my $pid = fork // die "Cannot fork: $!\n";
    return $pid if $pid;
    syscall PRCTL, SET_PDEATHSIG, 9;
    exit 1 if getppid != $parent;
    open STDIN, '<', '/dev/null';
    $work->();
    exit 0;
}

sub listening {
    my ($port, $ip) = @_;
    socket my $listener, AF_INET, SOCK_STREAM, 0 or die "Cannot make a socket: $!\n";
    setsockopt $listener, SOL_SOCKET, SO_REUSEADDR, 1;
    bind $listener, pack_sockaddr_in($port, inet_aton($ip)) or die "Cannot bind to $ip:$port: $!\n";
    listen $listener, SOMAXCONN or die "Cannot listen on $ip:$port: $!\n";
    return $listener;
}

sub copy {
    my ($from, $to) = @_;
    while (my $count = sysread $from, my $bytes, COPY_BYTES) {
        for (my $done = 0; $done < $count;) {
            my $written = syswrite $to, $bytes, $count - $done, $done;
            if (!defined $written) { shutdown $from, 0; return }
            $done += $written;
        }
    }
    # The other side may go on talking.
    shutdown $to, 1;
}

# Leads every connection to another one, each in processes of its own.
sub relay {
    my ($listener, $family, $to) = @_;
    $SIG{CHLD} = 'IGNORE';
    $SIG{PIPE} = 'IGNORE';
    while (accept my $near, $listener) {
        companion(sub {
            close $listener;
            $SIG{CHLD} = 'DEFAULT';
            socket my $far, $family, SOCK_STREAM, 0 or return;
            connect $far, $to or return;
            setsockopt $near, IPPROTO_TCP, TCP_NODELAY, 1;
            setsockopt $far, IPPROTO_TCP, TCP_NODELAY, 1 if $family == AF_INET;
            my $back = companion(sub { copy($far, $near) });
            copy($near, $far);
            waitpid $back, 0;
        });
        close $near;
    }
}

sub write_file {
    my ($path, $text) = @_;
    open my $file, '>', $path or die "Cannot write $path: $!\n";
    print $file $text;
    close $file or die "Cannot write $path: $!\n";
}

# Root may have a network of its own; others may as root of a namespace in which nobody else is.
sub enter_network {
    if (defined $network) {
        open my $namespace, '<', $network or die "Cannot open $network: $!\n";
        syscall(SETNS, fileno $namespace, NEW_NET) == 0 or die "Cannot enter $network: $!\n";
        # Of the guest before the power was cut.
        system "ip link delete $tap 2>/dev/null";
        return;
    }
    my ($uid, $gid) = ($>, $) + 0);
    return if $uid == 0 && syscall(UNSHARE, NEW_NET) == 0;
    syscall(UNSHARE, NEW_USER | NEW_NET) == 0 or die "Cannot have a network of its own (unshare): $!\n";
    write_file('/proc/self/setgroups', 'deny');
    write_file('/proc/self/uid_map', "0 $uid 1");
    write_file('/proc/self/gid_map', "0 $gid 1");
}

# This socket belongs to the network of the machine, although those that serve it will not.
my $listener = listening($agent_port, '127.0.0.1');
enter_network();
# Where there are no taps, two ends of a cable do: the kernel reads and writes packets at one of them.
my $peer = -e '/dev/net/tun' ? undef : "${tap}g";
my @steps = (
    'link set lo up',
    defined $peer ? ("link add $tap type veth peer name $peer", "link set $peer up") : "tuntap add $tap mode tap",
    'address add ' . GATEWAY . "/32 dev $tap",
    "link set $tap up",
    map { "route add $_/32 dev $tap src " . GATEWAY } $address, @behind,
);
open my $ip, '|-', 'ip', '-batch', '-' or die "Cannot run ip (iproute2): $!\n";
print $ip map { "$_\n" } @steps;
close $ip or die "Cannot make the guest's network\n";

my $agent = pack_sockaddr_in(AGENT, inet_aton($address));
companion(sub { relay($listener, AF_INET, $agent) });
close $listener;
for my $index (0 .. $#sockets) {
    my $gate = listening(FIRST_GATE + $index, GATEWAY);
    companion(sub { relay($gate, AF_UNIX, pack_sockaddr_un($sockets[$index])) });
    close $gate;
}
if (defined $peer) { s/^vec0:transport=tap,ifname=\Q$tap\E/vec0:transport=raw,ifname=$peer/ for @kernel }
exec { $kernel[0] } @kernel or die "Cannot start $kernel[0]: $!\n";
