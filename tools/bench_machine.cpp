#include "bench_machine.h"

#include <algorithm>

#include "peak_memory.h"

namespace precis {

void note_peak(BenchReport& report) {
  report.peak_memory = std::max(report.peak_memory, peak_memory());
}

double read_bandwidth_now(BenchReport& report) {
  note_peak(report);
  const double read = measure_read_bandwidth(report.options);
  forget_peak();
  return read;
}

MachineSpeed machine_speed(Notes& notes, BenchReport& report) {
  notes.passing("measuring the machine ...");
  note_peak(report);
  const MachineSpeed speed = measure_machine(report.options);
  forget_peak();
  return speed;
}

}  // namespace precis
