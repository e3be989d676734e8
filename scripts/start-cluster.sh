#!/usr/bin/env bash
# Starts the JobManager of conf/masters, then a TaskManager for each line of conf/workers; -D key=value goes to all.
# Other hosts than localhost are reached by ssh, with this tree in the same place there.
set -u
self=${BASH_SOURCE[0]}
[[ ! -L $self ]] || self=$(readlink -f "$self")
[[ $self == */* ]] || self=./$self
# shellcheck source=scripts/config.sh
. "${self%/*}/config.sh"
rask_arguments "$@"
rask_settings
rask_master
echo "Starting cluster."
rask_each jobmanager start "$MASTER" || exit 1
rask_hosts workers
rask_each taskmanager start "${HOSTS[@]}"
