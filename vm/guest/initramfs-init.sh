#!/bin/busybox sh
# First program of the guest, from memory: it finds the root disk and hands over to the init that it brought along.
# Debian's cloud kernel has virtio_pci and ext4 built in; only the disk driver is missing. User Mode Linux has its own disks
# built in, and its modules lie in a folder of the host.
# The root disk is only read until attach.sh says otherwise.
PATH=/bin
busybox mount -t devtmpfs devtmpfs /dev
busybox mount -t proc proc /proc
echo 'snapmerge-guest: the kernel is up'
read -r cmdline </proc/cmdline
case " $cmdline " in
*' snapmerge.probe=1 '*)
  # Asked only whether a kernel comes up at all on this machine, runs processes, and has its network.
  case " $cmdline " in *' vec0:'*) busybox ifconfig vec0 10.0.2.15 up || busybox poweroff -f ;; esac
  busybox sh -c 'busybox true; busybox true' && echo 'snapmerge-guest: probe passed'
  # And how long it takes to start one, twice, because the machine may be disturbed: what guests do most.
  for _ in 1 2; do
    read -r from _ </proc/uptime
    count=0
    while [ "$count" -lt 100 ]; do
      busybox true
      count=$((count + 1))
    done
    read -r to _ </proc/uptime
    echo "snapmerge-guest: $count processes from $from s to $to s"
  done
  busybox poweroff -f
  ;;
esac
modules=
for word in $cmdline; do
  case $word in snapmerge.modules=*) modules=${word#*=} ;; esac
done
root=/dev/ubda
if [ "$modules" = '' ]; then
  root=/dev/vda
  busybox insmod /virtio_blk.ko
fi
tries=0
while [ ! -b "$root" ]; do
  tries=$((tries + 1))
  [ "$tries" -le 500 ] || { echo 'snapmerge-guest: no root disk'; busybox poweroff -f; }
  busybox usleep 20000
done
busybox mount -t ext4 -o ro,noatime "$root" /root
[ "$modules" = '' ] || busybox mount -t hostfs -o "$modules" hostfs /root/usr/lib/modules
busybox mount -t tmpfs -o mode=755,nosuid,nodev tmpfs /root/run
busybox cp -a /guest /root/run/guest
busybox umount /proc
busybox mount --move /dev /root/dev
exec busybox switch_root /root /run/guest/init.sh
