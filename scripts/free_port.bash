# shellcheck shell=bash
# Sourced by scripts that start clusters of their own: `free_port` prints a port that nobody listens on.
# Below 32768, where the system takes ports for outgoing connections.
free_port() {
    local port
    while :; do
        port=$((20000 + RANDOM % 12000))
        (: <>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || break
    done
    echo "$port"
}
