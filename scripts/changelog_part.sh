#!/usr/bin/env bash
# Prints one version's part of the changelog: scripts/changelog_part.sh 0.1.0
set -euo pipefail
part=$(awk -v version="$1" '/^## /{on = index($0, "## " version) == 1 || index($0, "## [" version "]") == 1; next} on' \
    "$(dirname "$0")/../CHANGELOG.md")
[ -n "$part" ] || { echo "CHANGELOG.md has no part for $1" >&2; exit 1; }
printf '%s\n' "$part"
