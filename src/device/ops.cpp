#include "device/ops.h"

#include "base/error.h"

// Out of the header, which device code includes: the compilers of some devices do not take fmt.
namespace precis {

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
