#!/usr/bin/env bash
# Installs what this suite needs: Chromium and fonts where they are missing (Debian, as root or by sudo), and
# Playwright, which drives it, into the project's .venv.
set -euo pipefail
cd "$(dirname "$0")/../.."

missing=()
command -v chromium >/dev/null || missing+=(chromium)
fc-list 2>/dev/null | grep -q DejaVuSans || missing+=(fonts-dejavu-core)
fc-list 2>/dev/null | grep -q NotoSansCJK || missing+=(fonts-noto-cjk)
if ((${#missing[@]})); then
    scripts/apt-install.sh "${missing[@]}"
fi

.venv/bin/uv pip install --quiet --python .venv/bin/python -r requirements/browser.txt
