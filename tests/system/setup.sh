#!/usr/bin/env bash
# Installs what this suite needs: Redis and PostgreSQL where they are missing (Debian, as root or by sudo), and Airflow's
# parts for them into the project's .venv.
set -euo pipefail
cd "$(dirname "$0")/../.."

missing=()
command -v redis-server >/dev/null || missing+=(redis-server)
compgen -G "/usr/lib/postgresql/*/bin/initdb" >/dev/null || command -v initdb >/dev/null || missing+=(postgresql)
if ((${#missing[@]})); then
    scripts/apt-install.sh "${missing[@]}"
fi

.venv/bin/uv pip install --quiet --python .venv/bin/python -r requirements/system.txt
