#!/usr/bin/env bash
# Every source file is formatted as .clang-format says and has at most 600 lines.
set -euo pipefail
cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.."

mapfile -d '' files < <(find src include tools tests bench/ops bench/esa -type f \( -name '*.h' -o -name '*.cpp' -o -name '*.inc' -o -name '*.cu' -o -name '*.cuh' \) -print0 | sort --zero-terminated)
if [ ${#files[@]} -eq 0 ]; then
  echo "$0: no source files found" >&2
  exit 1
fi
clang-format --dry-run -Werror -- "${files[@]}"
awk 'FNR == 601 { print FILENAME ": more than 600 lines; which two nouns are in it?"; bad = 1 } END { exit bad }' \
  "${files[@]}"
echo "${#files[@]} files are formatted and at most 600 lines long."
