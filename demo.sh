#!/usr/bin/env bash
# Installs what Debian 12 lacks, builds Precis and lets the demo model write and remember.
set -euo pipefail
cd -- "$(dirname -- "${BASH_SOURCE[0]}")"
. scripts/steps.sh

step "Install what Debian lacks"
scripts/install_packages.sh build

# A folder configured by test.sh stays as it is: leaving the tests out would delete their objects.
step "Build build/release/bin/precis"
if [ -e build/release/CMakeCache.txt ]; then
  configure release
else
  configure release -DPRECIS_BUILD_TESTS=OFF
fi
cmake --build --preset release --target precis

precis=build/release/bin/precis
step "Continue a story"
opening="It was a dark and stormy night, and the old gentleman had not yet come home."
printf '%s' "$opening"
"$precis" run -m models/demo-ksa -n 120 --seed 1 -p "$opening"

book=examples/book-with-a-fact.txt
question="What is Oscar Abbott's secret code?"
step "Ask for a fact planted in a book of 16,000 tokens ($book)"
printf 'Line %s\nQuestion: %s\nAnswer: ' "$(grep -n 'Oscar Abbott' "$book")" "$question"
"$precis" run -m models/demo-ksa --chat -f "$book" -p "$question" --temp 0 --stats
step_end
