// What `precis bench` found out.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "bench_case.h"
#include "precis/checkpoint_report.h"
#include "precis/engine_options.h"
#include "precis/machine_speed.h"
#include "precis/step_cost.h"

namespace precis {

// Tokens a second of the repetitions of one case.
struct Rates {
  std::vector<double> samples;  // in the order in which they were measured, at least one

  double mean() const;
  double deviation() const;  // of the sample, with n - 1; 0 for a single one
  double min() const;
  double median() const;
  double max() const;
};

struct BenchResult {
  BenchCase test;
  Rates rates;  // of all sequences together
  // Bytes a second of memory, read before the first repetition and after each: one more than there are rates.
  std::vector<double> reads;
  StepCost token_cost;            // of one token of one sequence, on average
  std::int64_t kv_bytes = 0;      // held at the end, by all sequences
  std::int64_t kv_far_bytes = 0;  // of these, in far memory
  std::int64_t peak_memory = 0;   // of the process up to here, without what measuring the machine takes

  double bytes_per_second() const { return rates.mean() * token_cost.bytes; }
  double flops_per_second() const { return rates.mean() * token_cost.flops; }
  // Of what memory gave right before and after a repetition, the share that it took: the median of all.
  double share_of_bandwidth() const;
};

struct BenchReport {
  EngineOptions options;
  CheckpointReport model;
  std::string device;
  std::int64_t weight_bytes = 0;  // as they are held
  int repetitions = 0;
  MachineSpeed before;
  MachineSpeed after;
  std::vector<BenchResult> results;
  std::int64_t peak_memory = 0;

  // The better of the two: a machine that others use too shows less than it can, never more.
  double peak_flops() const;
};

std::string bench_markdown(const BenchReport& report);
std::string bench_csv(const BenchReport& report);
std::string bench_json(const BenchReport& report);

}  // namespace precis
