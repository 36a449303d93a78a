#!/usr/bin/env bash
# Rebuilds tests/data/*.tar.xz, the archives that CMake unpacks for the tests, from a folder that holds
# fixtures/, tokenizers/ and data/ (what each is: tests/data/README.md).
#   scripts/pack_test_data.sh FOLDER [OUTPUT]
# The same input gives the same bytes, so a rebuild that changes nothing leaves git clean.
set -euo pipefail

if [ $# -lt 1 ] || [ $# -gt 2 ]; then
  echo "usage: $0 FOLDER [OUTPUT]   (FOLDER holds fixtures/, tokenizers/ and data/; OUTPUT defaults to tests/data)" >&2
  exit 2
fi
source_folder=$(cd -- "$1" && pwd)
output=${2:-$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)/tests/data}
mkdir -p -- "$output"
output=$(cd -- "$output" && pwd)
stage=$(mktemp -d)
trap 'rm -rf -- "$stage"' EXIT

# pack NAME: the folder stage/NAME becomes NAME.tar.xz (tests/CMakeLists.txt relies on that naming).
pack() {
  chmod -R u=rwX,go=rX -- "$stage/$1"
  tar --create --directory="$stage" --format=ustar --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner -- "$1" |
    xz -9e --threads=1 > "$output/$1.tar.xz"
  printf '%10d  %s\n' "$(stat --format=%s -- "$output/$1.tar.xz")" "$output/$1.tar.xz"
}

for name in families ksa-variants demo-ksa demo-dense needles chat; do
  cp -r -- "$source_folder/fixtures/$name" "$stage/"
  pack "$name"
done

mkdir -- "$stage/tokenizers"
cp -- "$source_folder/fixtures/tokenizers/expected.json" "$stage/tokenizers/"
for name in gpt2 gpt2-llama3-split mistral-7b-v0.1 mistral-7b-v0.3 mistral-nemo qwen3; do
  cp -r -- "$source_folder/tokenizers/$name" "$stage/tokenizers/"
done
pack tokenizers

mkdir -- "$stage/books"
cp -- "$source_folder/data/standardebooks-lewis-carroll-alices-adventures-in-wonderland-john-tenniel.txt" \
  "$stage/books/alice.txt"
pack books
