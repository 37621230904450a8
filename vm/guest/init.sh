#!/bin/sh
# Process 1 of the guest: what a node's init does for a driver, and no more, in two parts. This one is the same for all
# guests: mounts, modules, network, udev if it is wanted, and the agent. The rest is attach.sh, which the host has the agent run.
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 TERM=vt100
say() { echo "snapmerge-guest: $*"; }

mount -t proc proc /proc
mount -t sysfs sysfs /sys
mkdir -p /dev/pts /dev/shm /run/lock /run/lvm
mount -t devpts -o gid=5,mode=620 devpts /dev/pts
mount -t tmpfs tmpfs /dev/shm
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mount -t tmpfs -o mode=1777 tmpfs /tmp
mount --make-rshared /
ln -sfn /proc/self/fd /dev/fd

udev=1 address=10.0.2.15
for word in $(cat /proc/cmdline); do
  case $word in
  snapmerge.udev=*) udev=${word#*=} ;;
  snapmerge.address=*) address=${word#*=} ;;
  esac
done

# Other targets and file systems are loaded by the kernel when they are first used.
modprobe -a dm_mod dm_snapshot loop
# User Mode Linux has its network built in, under a name of its own.
if [ -e /sys/class/net/vec0 ]; then ip link set vec0 name eth0; else modprobe virtio_net; fi
ip link set lo up
ip address add "$address/24" dev eth0
ip link set eth0 up

if [ "$udev" = 1 ]; then
  /usr/lib/systemd/systemd-udevd --daemon
  # Block devices are what matters here; for the rest udev would load drivers that nobody needs.
  udevadm trigger --action=add --subsystem-match=block --settle
fi

(while :; do
  perl /run/guest/agent.pl 7000
  say 'the agent ended and is started again'
done) &

# A shell that waits also collects the orphans that process 1 inherits.
while :; do wait; done
