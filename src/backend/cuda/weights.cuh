// Reading weights 16 bytes at a time, in every format. What 16 bytes hold is a *chunk*: one or several runs of inputs
// that follow each other in the row.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <type_traits>

#include "backend/cuda/numbers.cuh"
#include "tensor/weight_format.h"

namespace precis::cuda {

constexpr int block_inputs = static_cast<int>(quantized_block);
constexpr int group_blocks = static_cast<int>(quantized_group);

// Weights are read once: they need not stay in the first-level cache.
__device__ inline uint4 load_chunk(const std::uint8_t* values, int chunk) {
  return __ldcs(reinterpret_cast<const uint4*>(values) + chunk);
}

__device__ inline std::uint32_t word_of(const uint4& raw, int index) {
  return index == 0 ? raw.x : index == 1 ? raw.y : index == 2 ? raw.z : raw.w;
}

// Members: `inputs` of a chunk, in `runs` runs of `width`; at(run): the run's first input; read(run, w): its weights.
template <WeightFormat format>
struct Chunk;

template <>
struct Chunk<WeightFormat::f32> {
  static constexpr int inputs = 4;
  static constexpr int runs = 1;
  static constexpr int width = 4;

  __device__ Chunk(const std::uint8_t* values, const std::uint16_t*, int, int chunk)
      : raw_(load_chunk(values, chunk)), first_(chunk * inputs) {}
  __device__ int at(int) const { return first_; }
  __device__ void read(int, float (&w)[width]) const {
#pragma unroll
    for (int i = 0; i < width; ++i) w[i] = __uint_as_float(word_of(raw_, i));
  }

 private:
  uint4 raw_;
  int first_;
};

template <>
struct Chunk<WeightFormat::bf16> {
  static constexpr int inputs = 8;
  static constexpr int runs = 1;
  static constexpr int width = 8;

  __device__ Chunk(const std::uint8_t* values, const std::uint16_t*, int, int chunk)
      : raw_(load_chunk(values, chunk)), first_(chunk * inputs) {}
  __device__ int at(int) const { return first_; }
  __device__ void read(int, float (&w)[width]) const {
#pragma unroll
    for (int i = 0; i < width / 2; ++i) {
      w[2 * i] = first_bf16(word_of(raw_, i));
      w[2 * i + 1] = second_bf16(word_of(raw_, i));
    }
  }

 private:
  uint4 raw_;
  int first_;
};

template <>
struct Chunk<WeightFormat::f16> {
  static constexpr int inputs = 8;
  static constexpr int runs = 1;
  static constexpr int width = 8;

  __device__ Chunk(const std::uint8_t* values, const std::uint16_t*, int, int chunk)
      : raw_(load_chunk(values, chunk)), first_(chunk * inputs) {}
  __device__ int at(int) const { return first_; }
  __device__ void read(int, float (&w)[width]) const {
#pragma unroll
    for (int i = 0; i < width / 2; ++i) {
      const float2 pair = halves(word_of(raw_, i));
      w[2 * i] = pair.x;
      w[2 * i + 1] = pair.y;
    }
  }

 private:
  uint4 raw_;
  int first_;
};

// Where a chunk of a quantized row lies: in which group, how many blocks that has, and which of its chunks it is.
struct GroupPlace {
  __device__ GroupPlace(int inputs, int chunk, int chunks_a_block) {
    const int blocks = inputs / block_inputs;
    const int group = chunk / (chunks_a_block * group_blocks);
    first_block = group * group_blocks;
    size = min(group_blocks, blocks - first_block);
    index = chunk - first_block * chunks_a_block;
  }

  int first_block;
  int size;
  int index;
};

template <>
struct Chunk<WeightFormat::q8> {
  static constexpr int inputs = 16;
  static constexpr int runs = 8;  // a pair of inputs each, of several blocks
  static constexpr int width = 2;

  __device__ Chunk(const std::uint8_t* values, const std::uint16_t* scales, int row_inputs, int chunk)
      : raw_(load_chunk(values, chunk)), place_(row_inputs, chunk, block_inputs / inputs) {
    scales_ = scales + place_.first_block;
  }
  __device__ int at(int run) const {
    const Pair pair = pair_of(run);
    return (place_.first_block + pair.block) * block_inputs + 2 * pair.in_block;
  }
  __device__ void read(int run, float (&w)[width]) const {
    const float scale = half_at(scales_ + pair_of(run).block);
    const std::uint32_t bytes = word_of(raw_, run / 2) >> (16 * (run % 2));
    w[0] = scale * static_cast<float>(static_cast<std::int8_t>(bytes & 0xffU));
    w[1] = scale * static_cast<float>(static_cast<std::int8_t>((bytes >> 8) & 0xffU));
  }

 private:
  struct Pair {
    int block;     // in the group
    int in_block;  // which pair of the block
  };
  __device__ Pair pair_of(int run) const {
    if (place_.size == group_blocks) return {run, place_.index};
    const int pair = place_.index * runs + run;
    return {pair % place_.size, pair / place_.size};
  }

  uint4 raw_;
  GroupPlace place_;
  const std::uint16_t* scales_;
};

// 16 bytes of four bits, and the upper bits that belong to them; rows of q5 and q6 begin at multiples of 4.
template <WeightFormat format>
struct BitsChunk {
  static constexpr int inputs = 32;
  static constexpr int runs = 8;  // the low and then the high halves of four words
  static constexpr int width = 4;

  __device__ BitsChunk(const std::uint8_t* values, const std::uint16_t* scales, int row_inputs, int chunk)
      : place_(row_inputs, chunk, block_inputs / inputs) {
    const std::uint8_t* group = values + place_.first_block * block_bytes;
    const std::uint8_t* low = group + 16 * place_.index;
    if (upper_bits == 0 || (reinterpret_cast<std::uintptr_t>(low) & 15U) == 0) {
      raw_ = load_chunk(low, 0);
    } else {
      const auto* words = reinterpret_cast<const std::uint32_t*>(low);
      raw_ = {__ldcs(words), __ldcs(words + 1), __ldcs(words + 2), __ldcs(words + 3)};
    }
    upper_ = group + 16 * place_.size;
    scales_ = scales + place_.first_block;
  }
  __device__ int at(int run) const {
    const Word word = word_at(run);
    return (place_.first_block + word.block) * block_inputs + 4 * quad_of(word, run);
  }
  __device__ void read(int run, float (&w)[width]) const {
    const Word word = word_at(run);
    // As stored_line.
    const std::uint32_t line = scales_[word.block];
    const float scale = __uint_as_float(((line & 0xffc0U) << 12) + (108U << 23));
    constexpr float unit = format == WeightFormat::q4 ? 0.25F : format == WeightFormat::q5 ? 0.5F : 1;
    const float zero = unit * static_cast<float>(line & 63U);
    std::uint32_t bytes = word_of(raw_, run / 2) >> (4 * (run % 2)) & 0x0f0f0f0fU;
#pragma unroll
    for (int bit = 0; bit < upper_bits; ++bit) {
      const int four = quad_of(word, run) * place_.size + word.block;
      const std::uint32_t of_words = upper_[bit * 4 * place_.size + four / 2] >> (4 * (four % 2)) & 15U;
      bytes |= (of_words * 0x00204081U & 0x01010101U) << (4 + bit);
    }
    // Exact, and so the same weight on every backend: no more than 13 bits.
#pragma unroll
    for (int i = 0; i < width; ++i) w[i] = scale * (static_cast<float>((bytes >> (8 * i)) & 255U) - zero);
  }

 private:
  static constexpr int upper_bits = integer_bits(format) - 4;
  static constexpr int block_bytes = 4 * integer_bits(format);

  struct Word {
    int block;     // in the group
    int in_block;  // which word of the block
  };
  __device__ Word word_at(int run) const {
    const int word = place_.index * (runs / 2) + run / 2;
    if (place_.size == group_blocks) return {word % group_blocks, word / group_blocks};
    return {word % place_.size, word / place_.size};
  }
  __device__ static int quad_of(const Word& word, int run) {
    return 4 * (word.in_block / 2) + word.in_block % 2 + 2 * (run % 2);
  }

  uint4 raw_;
  GroupPlace place_;
  const std::uint8_t* upper_;
  const std::uint16_t* scales_;
};

template <>
struct Chunk<WeightFormat::q6> : BitsChunk<WeightFormat::q6> {
  using BitsChunk::BitsChunk;
};
template <>
struct Chunk<WeightFormat::q5> : BitsChunk<WeightFormat::q5> {
  using BitsChunk::BitsChunk;
};
template <>
struct Chunk<WeightFormat::q4> : BitsChunk<WeightFormat::q4> {
  using BitsChunk::BitsChunk;
};

// One weight of a row of plain elements.
template <WeightFormat format>
__device__ inline float plain_weight(const std::uint8_t* values, int input) {
  if constexpr (format == WeightFormat::f32) {
    return reinterpret_cast<const float*>(values)[input];
  } else if constexpr (format == WeightFormat::f16) {
    return half_at(reinterpret_cast<const std::uint16_t*>(values) + input);
  } else {
    return __uint_as_float(static_cast<std::uint32_t>(reinterpret_cast<const std::uint16_t*>(values)[input]) << 16);
  }
}

// Calls work(std::integral_constant<WeightFormat, format>()).
template <typename Work>
void for_format(WeightFormat format, const Work& work) {
  switch (format) {
    case WeightFormat::f32:
      return work(std::integral_constant<WeightFormat, WeightFormat::f32>());
    case WeightFormat::f16:
      return work(std::integral_constant<WeightFormat, WeightFormat::f16>());
    case WeightFormat::bf16:
      return work(std::integral_constant<WeightFormat, WeightFormat::bf16>());
    case WeightFormat::q8:
      return work(std::integral_constant<WeightFormat, WeightFormat::q8>());
    case WeightFormat::q6:
      return work(std::integral_constant<WeightFormat, WeightFormat::q6>());
    case WeightFormat::q5:
      return work(std::integral_constant<WeightFormat, WeightFormat::q5>());
    case WeightFormat::q4:
      return work(std::integral_constant<WeightFormat, WeightFormat::q4>());
  }
}

template <WeightFormat format>
inline constexpr bool is_plain = !is_quantized(format);

}  // namespace precis::cuda
