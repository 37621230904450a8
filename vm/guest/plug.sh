#!/bin/sh
# Takes a pool disk away while it is used, as somebody who pulls a cable does, and puts it back, under another name: what
# used it holds on to the one that is gone. plug.sh out|in NUMBER. The files that are disks of User Mode Linux cannot go; what a
# server has can.
set -eu
link=/run/guest/disks/pool$2
device=$(readlink "$link")
name=${device##*/}

case $1-$name in
out-nbd*)
  # NBD_DISCONNECT, NBD_CLEAR_SOCK
  perl -e 'open my $disk, "+<", $ARGV[0] or die "$!\n"; ioctl $disk, 0xab08, 0; ioctl $disk, 0xab04, 0' "$device"
  ;;
in-nbd*)
  for block in /sys/block/nbd*; do
    [ ! -e "$block/pid" ] || continue
    perl /run/guest/nbd.pl 10.0.2.2 "$((10809 + $2))" "/dev/${block##*/}"
    ln -sfn "/dev/${block##*/}" "$link"
    break
  done
  ;;
out-vd*) echo 1 >"$(readlink -f "/sys/block/$name/device")/../remove" ;;
in-vd*)
  echo 1 >/sys/bus/pci/rescan
  for block in /sys/block/vd*; do
    read -r serial <"$block/serial"
    [ "$serial" != "pool$2" ] || ln -sfn "/dev/${block##*/}" "$link"
  done
  ;;
*)
  echo "Cannot put $device $1: it is a file" >&2
  exit 1
  ;;
esac
if [ -e /run/udev/control ]; then udevadm settle; fi
