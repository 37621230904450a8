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
  # Its driver may take a moment, and the one that is gone, where it is still held, has no serial to tell.
  found=
  tries=0
  while [ "$found" = '' ]; do
    for block in /sys/block/vd*; do
      serial=$(cat "$block/serial" 2>/dev/null) || continue
      [ "$serial" != "pool$2" ] || found=/dev/${block##*/}
    done
    tries=$((tries + 1))
    [ "$tries" -le 300 ] || { echo "Cannot put pool$2 in: no disk comes up" >&2; exit 1; }
    [ "$found" != '' ] || sleep 0.1
  done
  ln -sfn "$found" "$link"
  ;;
*)
  echo "Cannot put $device $1: it is a file" >&2
  exit 1
  ;;
esac
if [ -e /run/udev/control ]; then udevadm settle; fi
