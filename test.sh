#!/usr/bin/env bash
# Installs what Debian 12 lacks, builds Precis with its tests, runs the demo and every test.
set -euo pipefail
cd -- "$(dirname -- "${BASH_SOURCE[0]}")"
. scripts/steps.sh

step "Install what Debian lacks"
scripts/install_packages.sh test

step "Build everything (build/release)"
configure release -DPRECIS_BUILD_TESTS=ON
cmake --build --preset release

step "Run the demo"
./demo.sh

step "Run every test"
ctest --preset release
step_end
