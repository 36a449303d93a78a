#include "checkpoint/safetensors_writer.h"

#include "base/file.h"
#include "checkpoint/hand_made.h"
#include "checkpoint/safetensors_file.h"

namespace precis {
namespace {

TEST(SafetensorsWriter, WhatIsWrittenIsRead) {
  const TemporaryFolder folder;
  const std::vector<std::uint16_t> halves = {0x3c00, 0xc000, 0x0001};
  const std::vector<float> floats = {1, -2.5F, 3e-38F, 4, 5, 6};
  const std::vector<std::int64_t> longs = {-1, std::int64_t{1} << 62};
  const std::vector<NamedTensor> tensors = {
      {"f16", {reinterpret_cast<const std::byte*>(halves.data()), DType::f16, {3}}},
      {"bf16 \"quoted\" \u00e9", {reinterpret_cast<const std::byte*>(halves.data()), DType::bf16, {1, 3}}},
      {"f32", {reinterpret_cast<const std::byte*>(floats.data()), DType::f32, {2, 3}}},
      {"i64", {reinterpret_cast<const std::byte*>(longs.data()), DType::i64, {2}}},
      {"none", {nullptr, DType::f32, {0, 7}}},
  };
  const auto path = folder.path() / "out.safetensors";
  write_safetensors(path, tensors, {{"format", "pt"}});
  const SafetensorsFile file(path);
  EXPECT_EQ(file.names().size(), tensors.size());
  EXPECT_EQ(file.metadata().at("format"), "pt");
  for (const NamedTensor& tensor : tensors) {
    SCOPED_TRACE(tensor.name);
    const auto found = file.find(tensor.name);
    ASSERT_TRUE(found.has_value());
    EXPECT_EQ(found->view.type, tensor.view.type);
    EXPECT_EQ(found->view.shape, tensor.view.shape);
    const auto size = static_cast<std::size_t>(tensor.view.bytes());
    if (size > 0) {
      EXPECT_EQ(std::memcmp(found->view.data, tensor.view.data, size), 0);
    }
    const auto address = reinterpret_cast<std::uintptr_t>(found->view.data);
    EXPECT_EQ(address % static_cast<std::uintptr_t>(size_of(tensor.view.type)), 0U) << "in a mapping, so in the file";
  }
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder.path()), {}), 1) << "no temporary file is left";
}

TEST(SafetensorsWriter, DataBeginsAtAMultipleOf64) {
  const TemporaryFolder folder;
  const float value = 1;
  std::string name;
  for (int i = 0; i < 70; ++i) {
    name += 'x';
    const std::vector<NamedTensor> one = {{name, {reinterpret_cast<const std::byte*>(&value), DType::f32, {1}}}};
    write_safetensors(folder.path() / "x", one);
    EXPECT_EQ(std::filesystem::file_size(folder.path() / "x") % 64, 4U);
  }
}

TEST(SafetensorsWriter, TensorsOfWholeLinesAreAlignedToThem) {
  const TemporaryFolder folder;
  const std::vector<std::byte> bytes(4096, std::byte{7});
  const std::vector<NamedTensor> tensors = {{"odd", {bytes.data(), DType::i8, {33}}},
                                            {"values", {bytes.data(), DType::i8, {3, 64}}},
                                            {"scales", {bytes.data(), DType::f16, {3, 2}}},
                                            {"more", {bytes.data(), DType::u8, {5, 128}}},
                                            {"norm", {bytes.data(), DType::f32, {3}}}};
  // Any order of writing makes the same file.
  write_safetensors(folder.path() / "a", tensors);
  SafetensorsWriter writer(folder.path() / "b", tensors);
  for (auto tensor = tensors.rbegin(); tensor != tensors.rend(); ++tensor) {
    writer.write(tensor->name, {tensor->view.data, static_cast<std::size_t>(tensor->view.bytes())});
  }
  EXPECT_FALSE(std::filesystem::exists(folder.path() / "b"));
  writer.commit();
  EXPECT_EQ(read_text(folder.path() / "a", 1 << 20), read_text(folder.path() / "b", 1 << 20));
  const SafetensorsFile file(folder.path() / "b");
  for (const char* name : {"values", "more"}) {
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(file.find(name)->view.data) % 64, 0U) << name;
  }
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(file.find("norm")->view.data) % 4, 0U);
}

TEST(SafetensorsWriter, RefusesNamesThatCannotBeRead) {
  const TemporaryFolder folder;
  const auto path = folder.path() / "out.safetensors";
  const float value = 1;
  const TensorView view{reinterpret_cast<const std::byte*>(&value), DType::f32, {1}};
  const auto write = [&](const std::vector<NamedTensor>& tensors) {
    expect_error([&] { write_safetensors(path, tensors); }, {"out.safetensors"});
    EXPECT_FALSE(std::filesystem::exists(path));
  };
  write({{"a", view}, {"a", view}});
  write({{"__metadata__", view}});
  write({{"\xff", view}});
}

TEST(SafetensorsWriter, NamesAPathThatCannotBeWritten) {
  const TemporaryFolder folder;
  const auto path = folder.path() / "absent" / "out.safetensors";
  expect_error([&] { write_safetensors(path, {}); }, {"out.safetensors"});
}

}  // namespace
}  // namespace precis
