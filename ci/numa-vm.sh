#!/usr/bin/env bash
# Runs a program on a machine with several NUMA nodes that QEMU makes up, emulated: a real Linux kernel, real nodes.
#
#   ci/numa-vm.sh MACHINE PROGRAM [ARGUMENT...]
#
# MACHINE is one of
#   quad      4 nodes of 2 CPUs, two and two near each other
#   dual-smt  2 nodes of 2 cores of 2 CPUs
#   asym      nodes of 4, 1 and 1 CPUs in one package, the last two far from each other; every 2 CPUs share an L3 cache
#   cxl       2 nodes of 2 CPUs and a memory-only one
#   memless   2 nodes of 2 CPUs, the second without memory
#   octo      8 nodes of 2 CPUs
#
# Ends with the program's exit code; with 3 where QEMU cannot be had, 4 if the machine came to no end. Downloads
# Debian's kernel into target/numa-vm once, and installs QEMU, busybox and cpio with apt-get where they are missing.
set -euo pipefail

TIME_LIMIT=${NUMA_VM_SECONDS:-300}
BOOT_LIMIT=${NUMA_VM_BOOT_SECONDS:-60} # seconds until the program starts
BOOTS=3
MEMORY=256 # MiB of a node
cache=$(dirname "${BASH_SOURCE[0]}")/../target/numa-vm

if [ $# -lt 2 ]; then
    echo 'usage: ci/numa-vm.sh MACHINE PROGRAM [ARGUMENT...]' >&2
    exit 2
fi
machine=$1
program=$(realpath "$2")
shift 2

# ---- what it needs -----------------------------------------------------------------------------------------------

cannot() {
    echo "no machine with several NUMA nodes: $*" >&2
    exit 3
}

[ "$(uname -sm)" = 'Linux x86_64' ] || cannot 'they are made up for programs of x86-64 Linux only'

tools_are_there() {
    command -v qemu-system-x86_64 >/dev/null && command -v cpio >/dev/null && [ -x /bin/busybox ]
}
if ! tools_are_there || ! [ -s "$cache/kernel" ]; then
    command -v apt-get >/dev/null || cannot 'there is no apt-get to get QEMU and a kernel with'
    apt-get update -qq >/dev/null 2>&1 || cannot 'apt-get update fails'
fi
if ! tools_are_there; then
    DEBIAN_FRONTEND=noninteractive apt-get install -qq --no-install-recommends \
        qemu-system-x86 busybox-static cpio >/dev/null 2>&1 || true
    tools_are_there || cannot 'apt-get cannot install qemu-system-x86, busybox-static and cpio'
fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

if ! [ -s "$cache/kernel" ]; then
    mkdir -p "$cache" "$work/package"
    image=$(apt-cache depends linux-image-amd64 | sed -n 's/^ *Depends: *\(linux-image-.*\)/\1/p' | head -n 1)
    chmod 755 "$work" "$work/package" # apt-get downloads as another user
    (cd "$work/package" && apt-get download -qq "${image:-linux-image-amd64}" >/dev/null 2>&1) ||
        cannot 'apt-get cannot download a kernel'
    dpkg-deb --fsys-tarfile "$work"/package/*.deb | tar -xO --wildcards './boot/vmlinuz-*' >"$work/kernel"
    mv "$work/kernel" "$cache/kernel"
fi

# ---- the machine -------------------------------------------------------------------------------------------------

total=0
options=()

# node FIRST-LAST|none MEMORY: the next node, with these CPUs and so many MiB.
nodes=0
node() {
    local numa="node,nodeid=$nodes"
    [ "$1" = none ] || numa+=",cpus=$1"
    if [ "$2" -gt 0 ]; then
        options+=(-object "memory-backend-ram,id=memory$nodes,size=$2M")
        numa+=",memdev=memory$nodes"
        total=$((total + $2))
    fi
    options+=(-numa "$numa")
    nodes=$((nodes + 1))
}
distance() {
    options+=(-numa "dist,src=$1,dst=$2,val=$3")
}

case $machine in
quad)
    cpus=8,sockets=4,cores=2,threads=1
    for first in 0 2 4 6; do node $first-$((first + 1)) $MEMORY; done
    distance 0 1 16
    distance 2 3 16
    for pair in '0 2' '0 3' '1 2' '1 3'; do distance ${pair% *} ${pair#* } 28; done
    ;;
dual-smt)
    cpus=8,sockets=2,cores=2,threads=2
    node 0-3 $MEMORY
    node 4-7 $MEMORY
    distance 0 1 21
    ;;
asym)
    cpus=6,sockets=1,dies=3,cores=2,threads=1
    node 0-3 $MEMORY
    node 4 $MEMORY
    node 5 $MEMORY
    distance 0 1 20
    distance 0 2 40
    distance 1 2 60
    ;;
cxl)
    cpus=4,sockets=2,cores=2,threads=1
    node 0-1 $MEMORY
    node 2-3 $MEMORY
    node none $MEMORY
    distance 0 1 21
    distance 0 2 31
    distance 1 2 41
    ;;
memless)
    cpus=4,sockets=2,cores=2,threads=1
    node 0-1 $((2 * MEMORY))
    node 2-3 0
    distance 0 1 21
    ;;
octo)
    cpus=16,sockets=8,cores=2,threads=1
    for first in 0 2 4 6 8 10 12 14; do node $first-$((first + 1)) $MEMORY; done
    ;;
*)
    echo "'$machine' is no machine: there are quad, dual-smt, asym, cxl, memless and octo" >&2
    exit 2
    ;;
esac

# ---- its files ---------------------------------------------------------------------------------------------------

# The program, the libraries it asks for, and a shell; first of all runs `init`.
root=$work/root
mkdir -p "$root"/{bin,dev,proc,sys,tmp}
cp /bin/busybox "$root/bin/busybox"
cp "$program" "$root/program"
ldd "$program" 2>/dev/null | grep -oE '/[^ )]+' | while read -r library; do
    mkdir -p "$root$(dirname "$library")"
    cp -L "$library" "$root$library"
done || true
{
    echo '#!/bin/busybox sh'
    echo '/bin/busybox --install -s /bin'
    echo 'mount -t proc proc /proc && mount -t sysfs sys /sys && mount -t devtmpfs dev /dev && mount -t tmpfs tmp /tmp'
    echo 'export PATH=/bin RUST_BACKTRACE=1'
    echo 'echo started >/dev/ttyS1'
    printf '/program'
    [ $# -eq 0 ] || printf ' %q' "$@"
    printf ' 2>&1\n'
    echo 'echo $? >/dev/ttyS1'
    echo 'poweroff -f'
} >"$root/init"
chmod +x "$root/init"
(cd "$root" && find . | cpio --quiet -o -H newc) | gzip -1 >"$work/files"

# ---- and its run -------------------------------------------------------------------------------------------------

# What is printed comes through the first serial line; through the second that the program starts, and its exit code.
# The kernel does not move pages by itself: programs see where they put them. Of the processors that can be emulated
# only Intel's tell the kernel which CPUs share a core.
emulate() {
    timeout "$TIME_LIMIT" qemu-system-x86_64 -nodefaults -no-user-config -no-reboot -display none \
        -machine q35 -accel tcg,thread=multi -cpu max,vendor=GenuineIntel -smp "$cpus" -m "${total}M" "${options[@]}" \
        -kernel "$cache/kernel" -initrd "$work/files" \
        -append 'console=ttyS0 quiet panic=-1 numa_balancing=disable' \
        -serial stdio -serial "file:$work/progress" -pidfile "$work/pid" </dev/null | tr -d '\r'
}

has_started() {
    grep -q started "$work/progress" 2>/dev/null
}

# Now and then an emulated kernel hangs before it starts anything: that is tried again. A program that started has its
# one run.
for ((boot = 1; boot <= BOOTS; boot++)); do
    rm -f "$work/progress" "$work/pid"
    emulate &
    emulation=$!
    for ((second = 0; second < BOOT_LIMIT; second++)); do
        if has_started || ! kill -0 "$emulation" 2>/dev/null; then break; fi
        sleep 1
    done
    if ! has_started && [ -s "$work/pid" ]; then
        kill "$(cat "$work/pid")" 2>/dev/null || true
    fi
    wait "$emulation" || true
    if has_started; then break; fi
    echo "the kernel of the machine '$machine' started nothing in $BOOT_LIMIT s, boot $boot of $BOOTS" >&2
done

code=$(sed -nE 's/^([0-9]+)\r?$/\1/p' "$work/progress" 2>/dev/null || true)
if [ -z "$code" ]; then
    if has_started; then
        echo "the program came to no end on the machine '$machine' in $TIME_LIMIT s, or the kernel gave up" >&2
    fi
    exit 4
fi
exit "$code"
