#!/bin/busybox sh
# First program of the guest, from memory: it finds the root disk and hands over to the init that it brought along.
# Debian's cloud kernel has virtio_pci and ext4 built in; only the disk driver is missing.
# The root disk is only read until attach.sh says otherwise.
PATH=/bin
busybox mount -t devtmpfs devtmpfs /dev
busybox mount -t proc proc /proc
echo 'snapmerge-guest: the kernel is up'
read -r cmdline </proc/cmdline
case " $cmdline " in
*' snapmerge.probe=1 '*)
  # Asked only whether a kernel comes up at all on this machine.
  echo 'snapmerge-guest: probe passed'
  busybox poweroff -f
  ;;
esac
busybox insmod /virtio_blk.ko
tries=0
while [ ! -b /dev/vda ]; do
  tries=$((tries + 1))
  [ "$tries" -le 500 ] || { echo 'snapmerge-guest: no root disk'; busybox poweroff -f; }
  busybox usleep 20000
done
busybox mount -t ext4 -o ro,noatime /dev/vda /root
busybox mount -t tmpfs -o mode=755,nosuid,nodev tmpfs /root/run
busybox cp -a /guest /root/run/guest
busybox umount /proc
busybox mount --move /dev /root/dev
exec busybox switch_root /root /run/guest/init.sh
