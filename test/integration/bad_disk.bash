# bad_disk.bash - cluster.bash for scripts that do harm to a disk: a mount namespace of their own, so that $top/disk may be mounted,
# and daemons that permissions bind.  Sourced from the top of the tree, with the script's arguments, before all else: it starts
# the script anew, and ends it where the system permits no mounts.
# shellcheck shell=bash
# shellcheck disable=SC2317
if [[ -z ${RASK_OWN_MOUNTS:-} ]]; then
    mapped=-r
    [[ $(id -u) -eq 0 ]] && mapped=
    if unshare $mapped -m true 2>/dev/null; then # they go with this process
        exec env RASK_OWN_MOUNTS=1 unshare $mapped -m "$BASH" "$0" "$@"
    fi
    echo "ok skipped_because_this_system_permits_no_mounts_of_our_own"
    exit 0
fi
# shellcheck source=test/integration/cluster.bash
. test/integration/cluster.bash

also_end() {
    wait 2>/dev/null
    umount -l "$top/disk" 2>/dev/null
}

# start_bound NAME PROGRAM ARGUMENT...: as start, for a process that permissions bind, root's too
start_bound() {
    setpriv --bounding-set=-dac_override,-dac_read_search --inh-caps=-dac_override,-dac_read_search \
        "$build/bin/$2" "${@:3}" --log "$top/log/$1.log" 2>/dev/null &
    pids[$1]=$!
    disown
}
