#!/usr/bin/env bash
# Installs Debian packages, as root or by sudo.
set -euo pipefail

as_root=()
((EUID == 0)) || as_root=(sudo -n)
"${as_root[@]}" apt-get update -qq
"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null
