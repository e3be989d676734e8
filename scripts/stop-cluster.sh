#!/usr/bin/env bash
# Stops one TaskManager for each line of conf/workers, then the JobManager of conf/masters.
set -u
self=${BASH_SOURCE[0]}
[[ ! -L $self ]] || self=$(readlink -f "$self")
[[ $self == */* ]] || self=./$self
# shellcheck source=scripts/config.sh
. "${self%/*}/config.sh"
rask_arguments "$@"
rask_settings
rask_master
rask_hosts workers
failed=0
rask_each taskmanager stop "${HOSTS[@]}" || failed=1
rask_each jobmanager stop "$MASTER" || failed=1
exit "$failed"
