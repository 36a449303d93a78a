#include "model/random_tensors.h"

#include <algorithm>
#include <cmath>

#include "base/checked.h"
#include "base/units.h"
#include "device/host_memory.h"

namespace precis {
namespace {

constexpr double deviation = 0.02;  // what models of all families begin their training with
constexpr std::uint64_t value_bits = 12;
constexpr std::size_t value_count = std::size_t{1} << value_bits;
constexpr std::int64_t block = std::int64_t{1} << 18;  // elements of a task
constexpr std::int64_t per_draw = 4;                   // elements that 64 random bits give

// SplitMix64 (Steele, Lea, Flood 2014) as a function of its counter.
std::uint64_t mixed(std::uint64_t value) {
  value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9U;
  value = (value ^ (value >> 27)) * 0x94d049bb133111ebU;
  return value ^ (value >> 31);
}

std::uint64_t key_of(std::uint64_t seed, std::string_view name) {
  std::uint64_t key = mixed(seed + 0x9e3779b97f4a7c15U);
  for (const char c : name) key = mixed(key ^ static_cast<unsigned char>(c));
  return key;
}

// Equally likely values, evenly spaced around zero.
template <typename Element, typename Convert>
std::vector<Element> table(const Convert& convert) {
  const double half_width = deviation * std::sqrt(3.0);
  std::vector<Element> values;
  for (std::size_t i = 0; i < value_count; ++i) {
    const double place = (static_cast<double>(i) + 0.5) / static_cast<double>(value_count);
    values.push_back(convert(static_cast<float>((2 * place - 1) * half_width)));
  }
  return values;
}

}  // namespace

RandomTensors::RandomTensors(std::vector<ExpectedTensor> tensors, DType type, std::uint64_t seed, int threads)
    : type_(type), seed_(seed), pool_(threads) {
  PRECIS_CHECK(type == DType::f32 || type == DType::f16 || type == DType::bf16, "no weights in {}", name_of(type));
  for (ExpectedTensor& tensor : tensors) shapes_.emplace(std::move(tensor.name), std::move(tensor.shape));
}

std::optional<HostTensor> RandomTensors::find(std::string_view name) const {
  const auto found = shapes_.find(name);
  if (found == shapes_.end()) return std::nullopt;
  return make(name, found->second);
}

HostTensor RandomTensors::make(std::string_view name, const std::vector<std::int64_t>& shape) const {
  std::int64_t count = 1;
  for (const std::int64_t size : shape) count = checked_mul(count, size, name);
  const std::int64_t bytes = checked_mul(count, size_of(type_), name);
  if (const std::int64_t left = available_host_memory(); bytes > left) {
    fail("{}: random weights of {}, this machine has {} of memory left", name, shown_bytes(static_cast<double>(bytes)),
         shown_bytes(static_cast<double>(left)));
  }
  std::shared_ptr<std::byte> memory = memory_.allocate(bytes);
  const bool ones = shape.size() == 1 && !name.ends_with(".bias");
  const auto write = [&](auto* elements, const auto& convert) {
    using Element = std::remove_pointer_t<decltype(elements)>;
    if (ones) {
      std::fill_n(elements, count, convert(1.0F));
    } else {
      fill(elements, count, table<Element>(convert), key_of(seed_, name));
    }
  };
  if (type_ == DType::f32) {
    write(reinterpret_cast<float*>(memory.get()), [](float value) { return value; });
  } else if (type_ == DType::bf16) {
    write(reinterpret_cast<Bf16*>(memory.get()), [](float value) { return to_bf16(value); });
  } else {
    write(reinterpret_cast<F16*>(memory.get()), [](float value) { return to_f16(value); });
  }
  return {{memory.get(), type_, shape}, std::move(memory)};
}

template <typename Element>
void RandomTensors::fill(Element* elements, std::int64_t count, const std::vector<Element>& values,
                         std::uint64_t key) const {
  pool_.for_each((count + block - 1) / block, [&](std::int64_t task, int) {
    const std::int64_t end = std::min(count, (task + 1) * block);
    for (std::int64_t i = task * block; i < end; i += per_draw) {
      std::uint64_t bits = mixed(key + static_cast<std::uint64_t>(i) * 0x9e3779b97f4a7c15U);
      const std::int64_t some = std::min(per_draw, end - i);
      for (std::int64_t j = 0; j < some; ++j, bits >>= 16) elements[i + j] = values[bits & (value_count - 1)];
    }
  });
}

}  // namespace precis
