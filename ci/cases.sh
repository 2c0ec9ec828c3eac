#!/usr/bin/env bash
# Many random programs: of all operators, with failures and with items whose code panics, and lines between an input and an
# output that are cancelled, run out of time, or lose their sender or receiver. .ci/run has 256 cases of each kind.
#
#   bash ci/cases.sh [CASES [FILTER]]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
cases=${1:-10000}
# A case takes some milliseconds. If all together take two hours, one hangs.
PROPTEST_CASES=$cases timeout 7200 cargo test --lib "${2:-programs}"
echo "$cases cases of each kind"
