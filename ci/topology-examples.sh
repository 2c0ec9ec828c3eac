#!/usr/bin/env bash
# Builds the example `topology` and checks what it prints: of this machine, of made-up ones, and of the recorded ones in
# ../shared/topologies if they are there.
#
#   ci/topology-examples.sh
set -euo pipefail
export LC_ALL=C

cd "$(dirname "$0")/.."
. ci/checks.sh
recordings=$PWD/../shared/topologies
cargo build --quiet --locked --release --example topology
target=$(cargo metadata --format-version 1 --no-deps --offline | sed -E 's/.*"target_directory":"([^"]*)".*/\1/')
topology=$target/release/examples/topology

# In memory, where that is possible: the recordings have tens of thousands of files.
work=$(mktemp -d -p /dev/shm 2>/dev/null || mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

# The last run printed this line, among others.
has_line() {
    grep -qxF -- "$1" out || fail "standard output does not have the line: $1"
}

# ---- this machine ------------------------------------------------------------------------------------------------

run 0 "$topology"
grep -qE '^a pool without options: [0-9]+ workers?, one for each core$' out || fail 'no word of a pool'
has_quota=$(grep -c '^  CPU quota: ' out || true)
run 0 "$topology" --csv
[ "$(wc -l <out)" -eq 1 ] || fail 'one line was asked for'
if command -v nproc >/dev/null && [ "$has_quota" -eq 0 ]; then
    # It knows the affinity mask; some versions count a quota, too.
    [ "$(cut -d, -f1 out)" -eq "$(env -u OMP_NUM_THREADS -u OMP_THREAD_LIMIT nproc)" ] || fail 'nproc counts other CPUs'
fi
if command -v taskset >/dev/null; then
    cpu=$(taskset -cp $$ | sed -E 's/.*: *([0-9]+).*/\1/')
    run 0 taskset -c "$cpu" "$topology" --csv
    [ "$(cut -d, -f1,2 out)" = 1,1 ] || fail 'one CPU is allowed'
fi

# ---- made-up machines --------------------------------------------------------------------------------------------

counts() {
    run 0 "$topology" --csv --synthetic "$1"
    printed "$2"
}
counts 'numa:4 l3:2 core:8 pu:2' 128,64,,4,8
counts 'pack:2 numa:2 core:4 pu:1' 16,16,2,4,
counts 'pack:2 [numa(memory=64GB)] [numa(memory=16GB)] l3:2(size=32MB) core:4 pu:2' 32,16,2,4,4
counts 'Package:1 L3Cache:2(size=33554432) L2Cache:8 L1dCache:1 L1iCache:1 Core:1 PU:2(indexes=16*2:1*16)' 32,16,1,1,2
counts '2 4 8 2' 128,64,2,8,
counts 'pu:1' 1,1,,1,

run 0 "$topology" --synthetic 'pack:2 numa:1(memory=32GiB) l3:2(size=16MiB) core:2 pu:2(indexes=pack:l3:core:pu)'
printed '16 CPUs (0-15): 8 cores, 2 packages, 2 NUMA nodes, 4 L3 domains' \
    '  package 0, NUMA node 0 (32 GiB): CPUs 0,2,4,6,8,10,12,14' \
    '    L3 domain 0 (16 MiB): CPUs 0,4,8,12, 2 cores of 2 CPUs' \
    '    L3 domain 2 (16 MiB): CPUs 2,6,10,14, 2 cores of 2 CPUs' \
    '  package 1, NUMA node 1 (32 GiB): CPUs 1,3,5,7,9,11,13,15' \
    '    L3 domain 1 (16 MiB): CPUs 1,5,9,13, 2 cores of 2 CPUs' \
    '    L3 domain 3 (16 MiB): CPUs 3,7,11,15, 2 cores of 2 CPUs' \
    '' \
    'from node to node' \
    '          0    1' \
    '     0   10   20' \
    '     1   20   10' \
    '' \
    'a pool without options: 8 workers, one for each core' \
    '  pinning: Cores (a worker for each of 8 cores, no quota)' \
    '  workers 0-1: CPUs 0,4, NUMA node 0, L3 domain 0' \
    '  workers 2-3: CPUs 2,6, NUMA node 0, L3 domain 2' \
    '  workers 4-5: CPUs 1,5, NUMA node 1, L3 domain 1' \
    '  workers 6-7: CPUs 3,7, NUMA node 1, L3 domain 3'

run 0 "$topology" --cores --synthetic 'core:2 pu:2(color=red)'
printed '4 CPUs (0-3): 2 cores, 1 NUMA node' \
    '  NUMA node 0: CPUs 0-3' \
    '    core 0: CPUs 0-1' \
    '    core 1: CPUs 2-3' \
    '  note: not taken: color=red of pu:2' \
    '' \
    'a pool without options: 2 workers, one for each core' \
    '  pinning: Cores (a worker for each of 2 cores, no quota)' \
    '  workers 0-1: CPUs 0,2, NUMA node 0'

# ---- a machine of a few files ------------------------------------------------------------------------------------

write() {
    mkdir -p "$(dirname "small/$1")"
    printf '%s\n' "$2" >"small/$1"
}
write sys/devices/system/cpu/online 0-3
write sys/devices/system/node/node0/cpulist 0-3
write sys/devices/system/node/node0/distance 10
write sys/devices/system/node/node0/meminfo 'Node 0 MemTotal:  4194304 kB'
write proc/self/status 'Cpus_allowed_list:	1-3'
write proc/self/cgroup 0::/job
write sys/fs/cgroup/job/cpu.max '150000 100000'
for cpu in 0 1 2 3; do
    write "sys/devices/system/cpu/cpu$cpu/topology/core_cpus_list" "$((cpu / 2 * 2))-$((cpu / 2 * 2 + 1))"
    write "sys/devices/system/cpu/cpu$cpu/topology/package_cpus_list" 0-3
done
run 0 "$topology" --root small
printed '3 of 4 CPUs (1-3): 2 cores, 1 package, 1 NUMA node' \
    '  package 0, NUMA node 0 (4 GiB): CPUs 1-3, 1 core of 1 CPU, 1 core of 2 CPUs' \
    '  CPU quota: 1.50 CPUs' \
    '' \
    'a pool without options: 2 workers, one for each core' \
    '  pinning: Off (a CPU quota of 1.50 is below the 3 allowed CPUs)'
write sys/devices/system/node/node0/cpulist 0-1
write sys/devices/system/node/node1/cpulist 2-3
write sys/fs/cgroup/job/cpu.max '50000 100000'
run 0 "$topology" --root small
has_line '  pinning: Nodes (a CPU quota of 0.50 is below the 3 allowed CPUs)'
has_line '  active: at most 1 of 2 workers'
has_line '  worker 0: CPU 1, NUMA node 0'
has_line '  worker 1: CPUs 2-3, NUMA node 1'

# ---- recorded machines -------------------------------------------------------------------------------------------

if [ ! -d "$recordings" ]; then
    echo "skipped: there is no folder ../shared/topologies with recorded machines"
elif ! tar -xjf "$recordings/2arm-2c.tar.bz2" 2>/dev/null; then
    echo "skipped: tar cannot unpack .tar.bz2"
else
    machines=0
    while IFS=, read -r place name expected; do
        rm -rf recorded && mkdir recorded
        tar --exclude='*/device-tree/*' --exclude='*/sys/class/*' --exclude='*/sys/bus/*' --exclude='*/devices/pci*' \
            --exclude='*/devices/LNX*' --exclude='*/cpuidle/*' --exclude='*/hugepages/*' \
            -C recorded -xjf "$recordings/$place/$name.tar.bz2"
        root=$(dirname "$(find recorded -maxdepth 2 -name sys -type d)")
        run 0 "$topology" --root "$root" --csv
        printed "$expected"
        run 0 "$topology" --root "$root" --cores
        [ "$(grep -c '^ *core [0-9]*: ' out)" -eq "$(printf '%s' "$expected" | cut -d, -f2)" ] || fail "cores of $name"
        case $name in
        16amd64-8n2c-cpusets)
            has_line '10 of 15 CPUs (0-3,5-6,12-15): 10 cores, 6 packages, 7 NUMA nodes'
            has_line '  NUMA node 4 (8 GiB): none of its CPUs is allowed'
            ;;
        20em64t-hybrid-*)
            has_line '  workers 0-5: CPUs 0,2,4,6,8,10, NUMA node 0, L3 domain 0, kind 1'
            has_line '  workers 6-13: CPUs 12-19, NUMA node 0, L3 domain 0, kind 0'
            ;;
        fakeheteromemtiers) has_line '  NUMA node 9 (384 MiB): memory only' ;;
        nvidia-dgx-gb10) has_line '    L3 domain 1 (16 MiB): CPUs 10-19' ;;
        esac
        machines=$((machines + 1))
    done < <(for place in . next; do
        [ ! -e "$recordings/$place/expected.csv" ] || sed -e '1d;/^$/d' -e "s/^/$place,/" "$recordings/$place/expected.csv"
    done)
    [ "$machines" -ge 16 ] || fail "$machines recorded machines"
    echo "topology: $machines recorded machines are counted as hwloc counts them"
fi

# ---- errors, each with the name of the thing ---------------------------------------------------------------------

run 2 "$topology" --root missing
said "error: no machine can be read from 'missing': No such file or directory"
mkdir empty
run 2 "$topology" --root empty
said "error: no machine is recorded in 'empty': it has no CPUs in sys/devices/system/cpu, nor in proc/self/status"
run 2 "$topology" --synthetic 'numa:4 cores:8 pu:2'
said "error: the description \"numa:4 cores:8 pu:2\" makes no machine: 'cores' is no level"
run 2 "$topology" --synthetic ''
said 'makes no machine: it has no levels'
run 2 "$topology" --synthetic 'numa:4 core:8'
said "'core:8' is last, where the PUs belong"
run 2 "$topology" --synthetic 'pu:2' --root small
run 2 "$topology" --csv --cores
run 2 "$topology" --no-such-option

# Nobody reads on, nobody listens, nothing can be written.
# shellcheck disable=SC2016  # $1 is for the inner shell
{
    large='numa:64 core:64 pu:1'
    run 0 bash -c 'set -o pipefail; "$1" --cores --synthetic "$2" | head -n 1' bash "$topology" "$large"
    [ "$(wc -l <out)" -eq 1 ] || fail 'one line was asked for'
    run 0 bash -c '"$1" --csv >&-' bash "$topology"
    run 2 bash -c '"$1" --root missing 2>&-' bash "$topology"
    if [ -e /dev/full ]; then
        run 2 bash -c '"$1" --csv >/dev/full' bash "$topology"
        said 'error: the machine cannot be written: No space left on device'
    fi
}

echo "topology: $checks runs as they should be"
