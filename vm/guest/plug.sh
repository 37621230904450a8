#!/bin/sh
# Takes a pool disk away while it is used, as somebody who pulls a cable does, and puts it back: plug.sh out|in NUMBER. Under
# QEMU it may have another name then. The files that are disks of User Mode Linux cannot go; what a server has can.
set -eu
link=/run/guest/disks/pool$2
device=$(readlink "$link")
name=${device##*/}

case $1-$name in
out-nbd*)
  # NBD_DISCONNECT, NBD_CLEAR_SOCK
  perl -e 'open my $disk, "+<", $ARGV[0] or die "$!\n"; ioctl $disk, 0xab08, 0; ioctl $disk, 0xab04, 0' "$device"
  tries=0
  while [ -e "/sys/block/$name/pid" ]; do
    tries=$((tries + 1))
    [ "$tries" -le 1000 ] || { echo "Cannot put $device out: the kernel keeps it" && exit 1; }
    sleep 0.02
  done
  ;;
in-nbd*) perl /run/guest/nbd.pl 10.0.2.2 "$((10809 + $2))" "$device" ;;
out-vd*) echo 1 >"$(readlink -f "/sys/block/$name/device")/../remove" ;;
in-vd*)
  echo 1 >/sys/bus/pci/rescan
  for block in /sys/block/vd*; do
    read -r serial <"$block/serial"
    [ "$serial" != "pool$2" ] || ln -sfn "/dev/${block##*/}" "$link"
  done
  ;;
*)
  echo "Cannot put $device $1: it is a file"
  exit 1
  ;;
esac
if [ -e /run/udev/control ]; then udevadm settle; fi
