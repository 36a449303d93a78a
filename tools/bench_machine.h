// What the machine gives while `precis bench` measures on it. Both leave their own memory out of the report's peak.
#pragma once

#include "bench_result.h"
#include "terminal.h"

namespace precis {

// Bytes a second that memory gives just now.
double read_bandwidth_now(BenchReport& report);

// What the machine can do at most.
MachineSpeed machine_speed(Notes& notes, BenchReport& report);

// The peak so far is the process's, or what the report has.
void note_peak(BenchReport& report);

}  // namespace precis
