#!/usr/bin/env bash
# The JobManager of this host.
#   jobmanager.sh (start|start-foreground [-D key=value]...)|stop|stop-all
set -u
self=${BASH_SOURCE[0]}
[[ ! -L $self ]] || self=$(readlink -f "$self")
[[ $self == */* ]] || self=./$self
# shellcheck source=scripts/config.sh
. "${self%/*}/config.sh"
rask_main jobmanager "$@"
