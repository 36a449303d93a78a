#include "device/ops.h"

#include "base/error.h"

// Out of the header, which device code includes: the compilers of some devices do not take fmt.
namespace precis {

void Ops::shorten(const ShortenArgs& args) {
  const auto project = [&](const WeightView& weight, const float* x, std::int64_t rows, float* y) {
    const LinearPart part{weight, nullptr, y, weight.outputs};
    linear({.x = x, .x_stride = weight.inputs, .rows = rows, .parts = {&part, 1}});
  };
  if (args.key_rows > 0) {
    project(args.key_weight, args.keys, args.key_rows, args.short_keys);
    keep_short({.x = args.short_keys, .slots = args.slots, .kv = args.kv, .rows = args.key_rows});
  }
  if (args.query_rows > 0) project(args.query_weight, args.queries, args.query_rows, args.short_queries);
}
void Ops::keep_short(const KeepShortArgs&) {
  PRECIS_CHECK(false, "no selection");
}
void Ops::select(const SelectArgs&) {
  PRECIS_CHECK(false, "no selection");
}
void Ops::pick(const PickArgs&) {
  PRECIS_CHECK(false, "no selection");
}
void Ops::turn(const TurnArgs&) {
  PRECIS_CHECK(false, "no selection");
}

}  // namespace precis
