#!/bin/sh
# An orderly end of the guest: the driver first, then the disks.
/run/guest/driver.sh stop
[ ! -x /usr/local/sbin/guest-stop ] || /usr/local/sbin/guest-stop
sync
umount /var/lib/snapmerge-guest
[ ! -d /data ] || umount /data
exec busybox poweroff -f
