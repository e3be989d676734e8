#!/usr/bin/env bash
# Installs the Debian packages that building and testing Rask need, those that are missing and no others.
#   scripts/setup.sh          for the build
#   scripts/setup.sh --test   also for the tests: servers that they start themselves
#   scripts/setup.sh --dev    also for lint, format, clang builds, fuzzing and debugging
#   scripts/setup.sh --list   prints the packages of the first form, one a line
# The one place that names packages.
set -euo pipefail

build_packages=(
    build-essential pkg-config
    libevent-dev libprotobuf-c-dev protobuf-c-compiler protobuf-compiler libssl-dev
    libleveldb-dev liblz4-dev libpq-dev libsnappy-dev libxxhash-dev libyaml-dev libzstd-dev
    libcmocka-dev curl python3-minimal procps iproute2
)
test_packages=(
    postgresql python3 python3-venv
)
dev_packages=(
    clang-14 clang-format-14 libclang-rt-14-dev shellcheck gdb valgrind git
)

say() { echo "setup: $*" >&2; }

wanted=("${build_packages[@]}")
case ${1:-} in
'') ;;
--test) wanted+=("${test_packages[@]}") ;;
--dev) wanted+=("${test_packages[@]}" "${dev_packages[@]}") ;;
--list)
    printf '%s\n' "${build_packages[@]}"
    exit 0
    ;;
*)
    say "unknown option '$1': the only ones are --test, --dev and --list"
    exit 2
    ;;
esac

if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
    say "this is not a Debian-like system, so packages cannot be installed for you; install the" \
        "equivalents of: ${wanted[*]}"
    exit 1
fi

# dpkg-query fails when it does not know a package at all: that one is missing too.
installed=$(dpkg-query -W -f='${Status} ${Package}\n' "${wanted[@]}" 2>/dev/null |
    sed -n 's/^install ok installed //p') || true
missing=()
for package in "${wanted[@]}"; do
    grep -qxF "$package" <<<"$installed" || missing+=("$package")
done
[ ${#missing[@]} -gt 0 ] || exit 0

as_root=()
if [ "$(id -u)" -ne 0 ]; then
    if ! command -v sudo >/dev/null; then
        say "these packages are missing, and installing them needs root or sudo: ${missing[*]}"
        exit 1
    fi
    as_root=(sudo)
fi
as_root+=(env DEBIAN_FRONTEND=noninteractive)

# Tests start their own servers: none is set up and started by its package.
if [[ " ${missing[*]} " == *" postgresql "* && ! -e /etc/postgresql-common/createcluster.conf ]]; then
    "${as_root[@]}" mkdir -p /etc/postgresql-common
    echo "create_main_cluster = false" | "${as_root[@]}" tee /etc/postgresql-common/createcluster.conf >/dev/null
fi

log=$(mktemp)
trap 'rm -f "$log"' EXIT
install() { "${as_root[@]}" apt-get install -y -q --no-install-recommends "${missing[@]}" >"$log" 2>&1; }
say "installing ${missing[*]}"
# The lists of packages may be absent or old: they are fetched only when they are needed.
if ! apt-cache show "${missing[@]}" >/dev/null 2>&1 || ! install; then
    if ! "${as_root[@]}" apt-get update -q >"$log" 2>&1 || ! install; then
        tail -n 15 "$log" >&2
        say "apt-get could not install ${missing[*]}: its last lines are above." \
            "Is the network reachable and another apt-get not running?"
        exit 1
    fi
fi
