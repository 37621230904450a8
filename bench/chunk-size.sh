# Runs in a guest with a volume group `pool`: first writes to a volume with a fresh snapshot, by chunk size, against the
# same volume without one. One line a measurement: round, chunk in KiB (0: no snapshot), pattern, KiB/s, store sectors used.
set -eu
rounds=${1:-3}
size=$((192 * 2048))
# The node of a device: links in /dev/mapper may appear late, or not at all.
dm() { echo "/dev/dm-$(dmsetup info -c --noheadings -o minor "$1")"; }

lvcreate -qq --yes --zero n --wipesignatures n --name data --size ${size}s pool
lvcreate -qq --yes --zero n --wipesignatures n --name cow --size $((2 * size))s pool
data=$(dm pool-data)
cow=$(dm pool-cow)
dd if=/dev/zero of="$data" bs=1M count=192 oflag=direct status=none

speed() { # device, pattern, block size, bytes
  fio --name=a --filename="$1" --direct=1 --rw="$2" --bs="$3" --size=160M --io_size="$4" --ioengine=libaio --iodepth=4 \
    --randrepeat=1 --minimal | cut -d';' -f48
}

measure() { # round, chunk KiB
  if [ "$2" = 0 ]; then
    dmsetup create view --table "0 $size linear $data 0"
    top=view
  else
    dd if=/dev/zero of="$cow" bs=1M count=1 oflag=direct conv=notrunc status=none
    dmsetup create view --table "0 $size linear $data 0"
    dmsetup create snap --table "0 $size snapshot $(dm view) $cow P $(($2 * 2))"
    dmsetup create top --table "0 $size snapshot-origin $(dm view)"
    top=top
  fi
  rate=$(speed "$(dm "$top")" "$3" "$4" "$5")
  used=0
  [ "$2" = 0 ] || used=$(dmsetup status snap | sed 's/.*snapshot \([0-9]*\).*/\1/')
  echo "$1 $2 $3-$4 $rate $used"
  if [ "$2" != 0 ]; then
    dmsetup remove --retry top
    dmsetup remove --retry snap
  fi
  dmsetup remove --retry view
}

for round in $(seq "$rounds"); do
  for chunk in 0 4 8 16 32 64 128 256 512; do
    measure "$round" "$chunk" randwrite 4k 4M
    measure "$round" "$chunk" write 1M 128M
  done
done
