// Python's operators on values. All throw Error where Python would; what is walked or made is charged to the budget.
#pragma once

#include <cstdint>
#include <optional>

#include "jinja/budget.h"
#include "jinja/syntax.h"
#include "jinja/value.h"

namespace precis::jinja {

bool truth(const Value& value);
Value arithmetic(Budget& budget, Operator op, const Value& left, const Value& right);
Value signed_value(Operator op, const Value& value);
bool equal(Budget& budget, const Value& left, const Value& right);
// left < right; throws Error for what has no order.
bool less(Budget& budget, const Value& left, const Value& right);
bool compare(Budget& budget, Operator op, const Value& left, const Value& right);
bool contains(Budget& budget, const Value& container, const Value& item);

// What a loop over `value` walks: items, characters, keys. A generator is spent by it.
ListPtr items_of(Budget& budget, const Value& value);
// Characters, items or entries; throws Error for what has none.
std::int64_t length_of(Budget& budget, const Value& value);
// value[key]; undefined where there is nothing.
Value item_of(Budget& budget, const Value& value, const Value& key);
// value[from:to:step], bounds none or integers.
Value slice_of(Budget& budget, const Value& value, const Value& from, const Value& to, const Value& step);

}  // namespace precis::jinja
