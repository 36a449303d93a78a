#!/bin/bash
# Runs the GPU's operation tests under compute-sanitizer, each test by itself, several at a time: on a machine with a GPU,
# after a build with tests.
#   scripts/sanitize_gpu.sh [-j PROCESSES] [-t SECONDS] [-f FILTER] [-o TOOL] [PRECIS_BACKEND_TEST]
# One line for each tool and test; exit status 123 if one found something, failed, or did not end within its time. Calls
# that return an error are no finding: the program checks each itself, and a test provokes one. Nor are hazards within
# cuBLASLt's own kernels (nvjet), of which racecheck reports some, where a test has no others: its line says how many.
set -u
jobs=8
seconds=500
filter='*Cuda*:*/cuda'
tools='memcheck racecheck'
while getopts j:t:f:o: option; do
  case $option in
    j) jobs=$OPTARG ;;
    t) seconds=$OPTARG ;;
    f) filter=$OPTARG ;;
    o) tools=$OPTARG ;;
    *) exit 2 ;;
  esac
done
shift $((OPTIND - 1))
export TEST=${1:-build/release/bin/precis_backend_test} SECONDS_A_TEST=$seconds

check() {
  local log begun=$SECONDS status
  log=$(mktemp)
  timeout "$SECONDS_A_TEST" compute-sanitizer --tool "$1" --error-exitcode 3 --report-api-errors no "$TEST" \
    --gtest_filter="$2" --gtest_brief=1 >"$log" 2>&1
  status=$?
  local took=$((SECONDS - begun)) found
  found=$(grep -E 'ERROR SUMMARY|RACECHECK SUMMARY' "$log" | tail -1 | sed 's/^=* *//')
  # A test that never calls the GPU.
  if grep -q 'terminated before first instrumented API call' "$log" && grep -q '  PASSED  ' "$log"; then
    status=0 found="nothing runs on the GPU"
  fi
  # All that is reported begins as a race at a place of theirs, and goes on at such places.
  local reports races places theirs
  reports=$(grep -cE '^=+ .*(Error|Warning):' "$log")
  races=$(grep -cE '^=+ .*(Error|Warning): Race reported between (Read|Write) access at nvjet_' "$log")
  places=$(grep -cE '(Read|Write) access at ' "$log")
  theirs=$(grep -cE '(Read|Write) access at nvjet_' "$log")
  if [ "$status $reports $places" = "3 $races $theirs" ] && [ "$races" -gt 0 ] && grep -q '  PASSED  ' "$log"; then
    status=0 found="0 in ours, in cuBLASLt's: $found"
  fi
  case $status in
    0) echo "ok $1 $2 (${took} s): $found" ;;
    124) echo "OUT OF TIME $1 $2 (${took} s)" ;;
    *)
      echo "FAILED $1 $2 (status $status, ${took} s): $found"
      grep -vE '^ *$' "$log" | head -40 | sed 's/^/    /'
      ;;
  esac
  rm -f "$log"
  return $((status != 0))
}
export -f check

# gtest lists a suite's name and under it, indented, its tests; a value follows "#".
tests=$("$TEST" --gtest_list_tests --gtest_filter="$filter" |
  awk '/^[^ ]/ { suite = $1 } /^ / { print suite $1 }')
[ -n "$tests" ] || { echo "no test is called $filter" >&2; exit 2; }
for tool in $tools; do
  for name in $tests; do
    printf '%s\n%s\n' "$tool" "$name"
  done
done | xargs -d '\n' -n 2 -P "$jobs" bash -c 'check "$1" "$2"' check
