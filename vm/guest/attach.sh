#!/bin/sh
# The second part of init, which the host has the agent run so that it learns how it ends: what makes it this guest. Its name,
# its disks, the one that outlives power cuts among them, the tars, and the driver. Whatever is said here goes to the
# console, as all of init's.
exec >/dev/console 2>&1
say() { echo "snapmerge-guest: $*"; }

udev=1 driver=0 nbd=0 ram=0 ram_kib=0
for word in "$@"; do
  case $word in
  name=*) hostname "${word#*=}" ;;
  udev=*) udev=${word#*=} ;;
  driver=*) driver=${word#*=} ;;
  nbd=*) nbd=${word#*=} ;;
  ram=*) ram=${word#*=} ;;
  ram-kib=*) ram_kib=${word#*=} ;;
  esac
done
# A kubelet does not start without a clock speed, and User Mode Linux tells none.
if grep -q 'User Mode Linux' /proc/cpuinfo; then
  sed 's/^model name.*/&\ncpu MHz\t\t: 2000.000/' /proc/cpuinfo >/run/guest/cpuinfo
  mount -o bind,ro /run/guest/cpuinfo /proc/cpuinfo
fi

mount -o remount,rw /
ln -sf /proc/mounts /etc/mtab
if [ "$udev" = 0 ]; then
  # LVM and dmsetup wait for udev unless they are told that there is none.
  printf 'activation {\n udev_sync=0\n udev_rules=0\n}\ndevices {\n obtain_device_list_from_udev=0\n}\n' >/etc/lvm/lvmlocal.conf
fi

mkdir -p /run/guest/disks
# Pool disks that a server on the host has, where the machine does not bring them along; some more for plug.sh.
[ "$nbd" = 0 ] || modprobe nbd nbds_max="$((nbd + 4))" max_part=0
index=0
while [ "$index" -lt "$nbd" ]; do
  perl /run/guest/nbd.pl 10.0.2.2 "$((10809 + index))" "/dev/nbd$index" || say "pool disk $index cannot be reached"
  ln -sfn "/dev/nbd$index" "/run/guest/disks/pool$index"
  index=$((index + 1))
done

# The driver takes no disk in memory for one of a pool, by its name. A MiB further on, or LVM would find its label twice.
[ "$ram" = 0 ] || modprobe brd rd_nr="$ram" rd_size="$ram_kib" max_part=0
index=0
while [ "$index" -lt "$ram" ]; do
  dmsetup create "disk$index" --table "0 $((2 * ram_kib - 2048)) linear /dev/ram$index 2048" || say "pool disk $index cannot be made"
  ln -sfn "/dev/mapper/disk$index" "/run/guest/disks/pool$index"
  index=$((index + 1))
done

# Disks are told apart by their serial, because the letters depend on how many there are.
for block in /sys/block/vd* /sys/block/ubd*; do
  [ -e "$block/serial" ] || continue
  read -r serial <"$block/serial"
  device=/dev/${block##*/}
  case $serial in
  state)
    mkdir -p /var/lib/snapmerge-guest
    mount -t ext4 -o barrier=1 "$device" /var/lib/snapmerge-guest || say 'the state disk cannot be mounted'
    ;;
  data)
    mkdir -p /data
    mount -t ext4 -o barrier=1 "$device" /data || say 'the data disk cannot be mounted'
    ;;
  tar*) tar -xf "$device" -C / || say "the tar on $serial cannot be unpacked" ;;
  pool*)
    ln -sfn "$device" "/run/guest/disks/$serial"
    ;;
  esac
done

[ "$udev" = 0 ] || udevadm settle --timeout=60 || say 'udev did not settle'
[ "$driver" = 0 ] || /run/guest/driver.sh start
# What this guest is for, when a tar has brought it along.
[ ! -x /usr/local/sbin/guest-start ] || /usr/local/sbin/guest-start || say 'guest-start failed'
