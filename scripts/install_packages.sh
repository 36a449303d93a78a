#!/usr/bin/env bash
# Installs the Debian 12 packages that are missing, and nothing when none is.
#   scripts/install_packages.sh build|test|check
# build: what compiling Precis takes; test: also what its tests take; check: also what .ci/run takes.
set -euo pipefail

build=(g++ cmake ninja-build pkg-config libspdlog-dev libfmt-dev nlohmann-json3-dev libcli11-dev
  libsentencepiece-dev libpcre2-dev libutf8proc-dev libeigen3-dev libedit-dev libxxhash-dev)
case "${1:-}" in
  build) wanted=("${build[@]}") ;;
  test) wanted=("${build[@]}" libgtest-dev) ;;
  check) wanted=("${build[@]}" libgtest-dev clang-format) ;;
  *)
    echo "usage: $0 build|test|check" >&2
    exit 2
    ;;
esac

if ! command -v dpkg-query > /dev/null || ! command -v apt-get > /dev/null; then
  echo "$0: this is no Debian; install the counterparts of: ${wanted[*]}" >&2
  exit 1
fi

# dpkg-query leaves unknown packages out of its list and fails for them, so only the list counts.
installed=$(dpkg-query --show --showformat='${Package} ${Status}\n' "${wanted[@]}" 2> /dev/null |
  awk '$NF == "installed" { print $1 }') || true
missing=()
for package in "${wanted[@]}"; do
  grep --quiet --line-regexp --fixed-strings -- "$package" <<< "$installed" || missing+=("$package")
done
if [ ${#missing[@]} -eq 0 ]; then
  echo "All ${#wanted[@]} packages are installed."
  exit 0
fi

root=()
if [ "$(id -u)" -ne 0 ]; then
  if ! command -v sudo > /dev/null; then
    echo "$0: neither root nor sudo; as root, run: apt-get install --no-install-recommends ${missing[*]}" >&2
    exit 1
  fi
  root=(sudo)
fi
echo "Installing: ${missing[*]}"
apt=(${root[@]+"${root[@]}"} env DEBIAN_FRONTEND=noninteractive apt-get -qq -o Dpkg::Use-Pty=0)
"${apt[@]}" update
"${apt[@]}" install --yes --no-install-recommends "${missing[@]}" > /dev/null
echo "Installed ${#missing[@]} packages."
