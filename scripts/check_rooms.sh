#!/usr/bin/env bash
# Holds every #include against the rooms of src/CMakeLists.txt, which is the one place that says who may know whom.
#   scripts/check_rooms.sh [ROOT]      one line per violation, exit 1 if there is one
#   scripts/check_rooms.sh --self-test a made-up tree with one violation of each kind must be found out
#
#   src/ROOM       its own headers and those of the rooms that it DEPENDS on, directly or through others, written from
#                  src/ ("room/file.h"). The door ("precis/...") is implemented by the engine; text, chat, memory and runtime
#                  speak its plain types (messages, requests, events, reports) and know no engine
#   backend/NAME   is included by nobody but itself, the factory in src/backend, and tests/backend
#   include/precis "precis/..." and standard headers
#   tools          "precis/..." and its own files
#                  CUDA headers are included in src/backend/cuda alone
#   src            names a model family only in src/families; comments, RoPE types, src/text, which tells tokenizers
#                  apart, and src/chat, which has templates by name, aside
set -euo pipefail

# The rooms with all they may include, one a line: "room dependency dependency ...".
list_rooms() {
  awk '
    /^precis_room\(/ {
      sub(/^precis_room\(/, ""); sub(/\).*/, "")
      count = split($0, word, " ")
      room = word[1]; reach[room] = " "; depends = 0
      for (i = 2; i <= count; i++) {
        if (word[i] == "DEPENDS") { depends = 1; continue }
        if (word[i] == "LINK") { depends = 0; continue }
        if (!depends) continue
        if (!(word[i] in reach)) {
          print FILENAME ": " room " depends on " word[i] ", which stands below it" > "/dev/stderr"
          exit 1
        }
        reach[room] = reach[room] word[i] reach[word[i]]
      }
      print room reach[room]
    }' "$1/src/CMakeLists.txt"
}

# Files are named from ROOT, which is the current folder; rooms come from the first file.
check_includes() {
  awk '
    function say(what) { print FILENAME ":" FNR ": " what; bad = 1 }
    # The room of a path below src/: the longest of its folders that is a room.
    function room_of(path) {
      while (sub(/\/[^\/]*$/, "", path)) if (path in reach) return path
      return ""
    }
    function exists(path,   line, got) { got = (getline line < path) >= 0; close(path); return got }

    NR == FNR { room = $1; reach[room] = " "; for (i = 1; i <= NF; i++) reach[room] = reach[room] $i " "; next }

    FNR == 1 {
      place = FILENAME; sub(/\/.*/, "", place)
      own = ""
      if (place == "src") {
        own = room_of(substr(FILENAME, 5))
        if (own == "") say("lies in no room of src/CMakeLists.txt")
      }
      comment = 0
    }
    {
      code = $0
      if (comment) { if (!sub(/^.*\*\//, "", code)) next; comment = 0 }
      gsub(/\/\*([^*]|\*[^\/])*\*\//, "", code)
      if (code !~ /^[ \t]*#[ \t]*include/ && sub(/\/\*.*$/, "", code)) comment = 1
      sub(/(^|[ \t;{})])\/\/.*$/, "", code)
    }
    code ~ /^[ \t]*#[ \t]*include[ \t]*["<]/ {
      path = code; sub(/^[^"<]*["<]/, "", path); quoted = (code ~ /include[ \t]*"/); sub(/[">].*$/, "", path)
      target = room_of(path)
      door = (path ~ /^precis\//)
      if (path ~ /^(cuda|cublas|device_launch_parameters|mma\.h)/ && own != "backend/cuda")
        say("\"" path "\": CUDA is known in src/backend/cuda alone")
      if (target ~ /^backend\// && own != target && own != "backend" && FILENAME !~ /^tests\/backend\//)
        say("\"" path "\": only the factory in src/backend includes a backend")
      else if (place == "src" && own != "") {
        if (target != "" && index(reach[own], " " target " ") == 0) say("\"" path "\": " own " does not depend on " target)
        else if (door && own != "engine" && (own !~ /^(text|chat|memory|runtime)$/ || path == "precis/engine.h"))
          say("\"" path "\": " own " does not know the door")
        else if (quoted && target == "" && !door) say("\"" path "\": no room; includes are written from src/")
      } else if (place == "include") {
        if (!door && (quoted || path !~ /^[a-z_]+$/)) say("\"" path "\": the door includes only precis/ and standard headers")
      } else if (place == "tools") {
        if (target != "" || (quoted && !door && !exists("tools/" path)))
          say("\"" path "\": tools include only precis/ and their own files")
      }
      next
    }
    place == "src" && own !~ /^(families|text|chat)$/ {
      gsub(/llama3/, "", code)
      if (match(code, /[Ll]lama|[Mm]istral|[Qq]wen/))
        say("\"" substr(code, RSTART, RLENGTH) "\": a family is named only in src/families")
    }
    END { exit bad }' "$@"
}

check() {
  local rooms status=0 files
  rooms=$(mktemp)
  cd -- "$1"
  list_rooms . > "$rooms" || { rm -f -- "$rooms"; return 1; }
  mapfile -d '' files < <(find src include tools tests -type f \( -name '*.h' -o -name '*.cpp' -o -name '*.cu' -o -name '*.cuh' \) -print0 | sort -z)
  if [ ! -s "$rooms" ] || [ ${#files[@]} -eq 0 ]; then
    echo "$1: no rooms or no source files found" >&2
    status=1
  else
    check_includes "$rooms" "${files[@]}" || status=1
  fi
  rm -f -- "$rooms"
  [ "$status" -ne 0 ] || echo "${#files[@]} files include only what their room may know."
  return "$status"
}

# The self-test's tree: every line with a violation says so in a comment, and no other line may be reported.
write_tree() {
  mkdir -p "$1"/src/{base,kv,backend/{cpu,cuda,reference},model,families,runtime,engine,stray} "$1"/include/precis "$1"/tools \
    "$1"/tests/{backend,model}
  cat > "$1/src/CMakeLists.txt" << 'TREE'
precis_room(base LINK fmt::fmt)
precis_room(kv DEPENDS base)
precis_room(backend/reference DEPENDS base)
precis_room(backend/cpu DEPENDS base)
precis_room(backend/cuda CUDA DEPENDS base)
precis_room(backend DEPENDS backend/reference backend/cpu backend/cuda)
precis_room(model DEPENDS kv)
precis_room(families DEPENDS model)
precis_room(runtime DEPENDS model)
precis_room(engine DEPENDS families runtime backend LINK fmt::fmt)
TREE
  cat > "$1/src/base/low.h" << 'TREE'
#include <vector>
#include "base/other.h"
#include "kv/page.h"  // VIOLATION: upwards
#include <kv/page.h>  // VIOLATION: upwards in angle brackets
#include "other.h"  // VIOLATION: not written from src/
#include "precis/engine.h"  // VIOLATION: the door
TREE
  cat > "$1/src/kv/page.h" << 'TREE'
/* a comment may speak of llama, mistral
   and of qwen */
#include "base/low.h"
#include "backend/factory.h"  // VIOLATION: no dependency, though earlier in the list
#include "backend/cpu/ops.h"  // VIOLATION: a backend
int pages;  // as in qwen
TREE
  cat > "$1/src/backend/factory.cpp" << 'TREE'
#include "backend/cpu/ops.h"
#include "backend/reference/ops.h"
TREE
  cat > "$1/src/backend/cpu/ops.cpp" << 'TREE'
#include "backend/cpu/ops.h"
#include "base/low.h"
#include "backend/reference/ops.h"  // VIOLATION: one backend knows another
TREE
  cat > "$1/src/backend/cuda/rows.cu" << 'TREE'
#include <cuda_runtime.h>
#include "backend/cuda/rows.h"
#include "kv/page.h"  // VIOLATION: no dependency of a device's kernels
TREE
  cat > "$1/src/backend/cuda/rows.cuh" << 'TREE'
#include "base/low.h"
#include "backend/cpu/ops.h"  // VIOLATION: one backend knows another
TREE
  cat > "$1/src/model/decoder.cpp" << 'TREE'
#include "base/low.h"
#include "families/ksa.h"  // VIOLATION: upwards
#include <cuda_runtime.h>  // VIOLATION: CUDA outside its room
const char* rope = "llama3";
bool is_qwen;  // VIOLATION: a family
const char* type = "https://mistral.ai";  // VIOLATION: a family
TREE
  cat > "$1/src/runtime/scheduler.h" << 'TREE'
#include "precis/request.h"
#include "precis/engine.h"  // VIOLATION: the door itself
TREE
  echo 'const char* type = "qwen3";' > "$1/src/families/qwen3.cpp"
  cat > "$1/src/engine/engine.cpp" << 'TREE'
#include "backend/factory.h"
#include "kv/page.h"
#include "precis/engine.h"
#include "backend/cpu/ops.h"  // VIOLATION: a backend
TREE
  echo 'int stray;  // VIOLATION: in no room' > "$1/src/stray/stray.h"
  cat > "$1/include/precis/engine.h" << 'TREE'
#include <cstdint>
#include "precis/request.h"
#include <fmt/format.h>  // VIOLATION: no standard header
#include "base/low.h"  // VIOLATION: behind the door
TREE
  cat > "$1/tools/main.cpp" << 'TREE'
#include <CLI/CLI.hpp>
#include "main.h"
#include "precis/engine.h"
#include "engine/engine.h"  // VIOLATION: behind the door
#include "nowhere.h"  // VIOLATION: no such file
TREE
  echo 'int main();' > "$1/tools/main.h"
  echo '#include "backend/cpu/ops.h"' > "$1/tests/backend/ops_test.cpp"
  echo '#include "backend/cpu/ops.h"  // VIOLATION: a backend' > "$1/tests/model/decoder_test.cpp"
}

self_test() {
  local tree found expected status=0
  tree=$(mktemp -d)
  trap "rm -rf -- '$tree'" EXIT
  write_tree "$tree"
  found=$(check "$tree") && status=1
  found=$(cut -d: -f1,2 <<< "$found" | sort)
  expected=$(cd -- "$tree" && grep -rn 'VIOLATION' src include tools tests | cut -d: -f1,2 | sort)
  if [ "$found" != "$expected" ] || [ "$status" -ne 0 ]; then
    echo "$0 --self-test: expected (<) and found (>) violations differ:" >&2
    diff <(echo "$expected") <(echo "$found") >&2 || true
    return 1
  fi
  find "$tree/src" "$tree/include" "$tree/tools" "$tree/tests" -type f -name '*.[hc]*' -exec sed -i '/VIOLATION/d' {} +
  rm -r -- "$tree/src/stray"
  check "$tree" > /dev/null || { echo "$0 --self-test: the tree without violations is refused" >&2; return 1; }
  echo 'precis_room(device DEPENDS scheduler)' >> "$tree/src/CMakeLists.txt"
  if check "$tree" > /dev/null 2>&1; then
    echo "$0 --self-test: a room that depends on a later one is accepted" >&2
    return 1
  fi
  echo "All $(wc -l <<< "$expected") seeded violations were found, and nothing else."
}

if [ "${1:-}" = --self-test ]; then
  self_test
else
  check "${1:-$(dirname -- "${BASH_SOURCE[0]}")/..}"
fi
