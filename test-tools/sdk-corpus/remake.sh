#!/bin/sh
# Makes golden.jsonl anew with the real openstacksdk, in a Python environment of its own. The
# versions are pinned: another one reads settings in another way, and then that is to be looked at.
# PyYAML 6.0.4 takes the last of `<<: [*a, *b]` for long keys and the first for short ones; YAML and
# every release before say the first.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
venv="${CARGO_TARGET_DIR:-$here/../../target}/sdk-corpus"
if [ ! -x "$venv/bin/pip" ]; then
    python3 -m venv "$venv"
fi
"$venv/bin/pip" install --quiet --disable-pip-version-check openstacksdk==4.22.0 keystoneauth1==5.18.1 PyYAML==6.0.3
PYTHONDONTWRITEBYTECODE=1 exec "$venv/bin/python" "$here/generate.py"
