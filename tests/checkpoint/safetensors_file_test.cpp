#include "checkpoint/safetensors_file.h"

#include <optional>

#include "checkpoint/hand_made.h"

namespace precis {
namespace {

std::string raw(const std::vector<std::uint16_t>& values) {
  return {reinterpret_cast<const char*>(values.data()), values.size() * sizeof values[0]};
}

std::string raw(const std::vector<float>& values) {
  return {reinterpret_cast<const char*>(values.data()), values.size() * sizeof values[0]};
}

TEST(SafetensorsFile, ReadsEachFloatType) {
  const TemporaryFolder folder;
  const std::string header = R"({"__metadata__":{"format":"pt"},
    "a":{"dtype":"F32","shape":[2,1],"data_offsets":[0,8]},
    "b":{"dtype":"F16","shape":[2],"data_offsets":[8,12]},
    "c":{"dtype":"BF16","shape":[1,1,3],"data_offsets":[12,18]},
    "d":{"dtype":"F32","shape":[0,5],"data_offsets":[18,18]},
    "e":{"dtype":"U8","shape":[],"data_offsets":[18,19]}})";
  const std::string data = raw(std::vector<float>{1.5F, -2}) + raw(std::vector<std::uint16_t>{0x3c00, 0xc000}) +
                           raw(std::vector<std::uint16_t>{0x3f80, 0xbf80, 0x4000}) + "\x07";
  const SafetensorsFile file(folder.write("model.safetensors", tensor_file(header, data)));
  EXPECT_EQ(file.names(), (std::vector<std::string>{"a", "b", "c", "d", "e"}));
  EXPECT_EQ(file.bytes(), 19);
  EXPECT_EQ(file.metadata().at("format"), "pt");
  EXPECT_EQ(file.find("a")->view.shape, (std::vector<std::int64_t>{2, 1}));
  EXPECT_EQ(to_floats("a", file.find("a")->view), (std::vector<float>{1.5F, -2}));
  EXPECT_EQ(to_floats("b", file.find("b")->view), (std::vector<float>{1, -2}));
  EXPECT_EQ(to_floats("c", file.find("c")->view), (std::vector<float>{1, -1, 2}));
  EXPECT_EQ(file.find("d")->view.elements(), 0);
  EXPECT_EQ(file.find("e")->view.type, DType::u8);
  EXPECT_FALSE(file.find("f").has_value());
}

TEST(SafetensorsFile, TensorOutlivesTheFile) {
  const TemporaryFolder folder;
  const std::string header = R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})";
  std::optional<HostTensor> tensor;
  {
    const SafetensorsFile file(folder.write("x", tensor_file(header, raw(std::vector<float>{42}))));
    tensor = file.find("a");
  }
  EXPECT_EQ(to_floats("a", tensor->view), std::vector<float>{42});
}

TEST(SafetensorsFile, NoTensorsIsAFileToo) {
  const TemporaryFolder folder;
  EXPECT_TRUE(SafetensorsFile(folder.write("x", tensor_file("{}      ", ""))).names().empty());
}

// 256 GiB of holes: opening could not read the data before the test runs out of time, and the disk would not hold it.
TEST(SafetensorsFile, OpeningReadsTheHeaderAlone) {
  const TemporaryFolder folder;
  const std::string header = R"({"a":{"dtype":"U8","shape":[274877906944],"data_offsets":[0,274877906944]}})";
  const auto path = folder.write("x", tensor_file(header, ""));
  std::error_code refused;
  std::filesystem::resize_file(path, 8 + header.size() + 274877906944U, refused);
  if (refused) GTEST_SKIP() << "no sparse files of this size here";
  const SafetensorsFile file(path);
  EXPECT_EQ(file.bytes(), 274877906944);
}

struct BadFile {
  std::string what;
  std::string content;
  std::string part;  // of the message, beside the file's name
};

std::vector<BadFile> bad_files() {
  const std::string four(4, '\0');
  const std::string eight(8, '\0');
  const auto one = [&](const std::string& entry) { return tensor_file(R"({"weight":)" + entry + "}", four); };
  return {
      {"empty", "", "too short"},
      {"length cut short", "abc", "too short"},
      {"header longer than the file", tensor_file(1000, "{}", ""), "cut short"},
      {"header of 2^63 bytes", tensor_file(std::uint64_t{1} << 63, "{}", ""), "at most"},
      {"header of 2^64-1 bytes", tensor_file(~std::uint64_t{0}, "{}", ""), "at most"},
      {"header of 100 MB and one", tensor_file(100'000'001, "{}", ""), "at most"},
      {"no header", tensor_file("", ""), "not valid JSON"},
      {"header cut short", tensor_file(R"({"weight":{"dtype":)", ""), "not valid JSON"},
      {"header is a list", tensor_file("[]", ""), "object"},
      {"header nested deep", tensor_file(std::string(100'000, '['), ""), "nested"},
      {"header is not UTF-8", tensor_file("{\"\xff\xfe\":1}", ""), "not valid JSON"},
      {"entry is a number", one("3"), "weight"},
      {"type missing", one(R"({"shape":[1],"data_offsets":[0,4]})"), "weight.dtype"},
      {"type unknown", one(R"({"dtype":"F8_E4M3","shape":[4],"data_offsets":[0,4]})"), "weight.dtype"},
      {"type is a number", one(R"({"dtype":32,"shape":[1],"data_offsets":[0,4]})"), "weight.dtype"},
      {"shape missing", one(R"({"dtype":"F32","data_offsets":[0,4]})"), "weight.shape"},
      {"shape is a number", one(R"({"dtype":"F32","shape":1,"data_offsets":[0,4]})"), "weight.shape"},
      {"negative size", one(R"({"dtype":"F32","shape":[-1],"data_offsets":[0,4]})"), "weight.shape[0]"},
      {"two negative sizes", one(R"({"dtype":"F32","shape":[-1,-1],"data_offsets":[0,4]})"), "weight.shape[0]"},
      {"broken size", one(R"({"dtype":"F32","shape":[0.5],"data_offsets":[0,4]})"), "weight.shape[0]"},
      {"size of 2^64", one(R"({"dtype":"F32","shape":[18446744073709551616],"data_offsets":[0,4]})"), "weight.shape"},
      {"product too large", one(R"({"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,4]})"), "weight"},
      {"product wraps to 4", one(R"({"dtype":"F32","shape":[4611686018427387905],"data_offsets":[0,4]})"), "weight"},
      {"nine dimensions", one(R"({"dtype":"F32","shape":[1,1,1,1,1,1,1,1,1],"data_offsets":[0,4]})"), "weight.shape"},
      {"offsets missing", one(R"({"dtype":"F32","shape":[1]})"), "weight.data_offsets"},
      {"one offset", one(R"({"dtype":"F32","shape":[1],"data_offsets":[0]})"), "weight.data_offsets"},
      {"negative offset", one(R"({"dtype":"F32","shape":[1],"data_offsets":[-4,0]})"), "weight.data_offsets[0]"},
      {"offset past the end", one(R"({"dtype":"F32","shape":[1],"data_offsets":[4,8]})"), "weight.data_offsets[1]"},
      {"end before begin", one(R"({"dtype":"F32","shape":[1],"data_offsets":[4,0]})"), "weight.data_offsets[1]"},
      {"offset of 2^64-1", one(R"({"dtype":"F32","shape":[1],"data_offsets":[0,18446744073709551615]})"),
       "weight.data_offsets[1]"},
      {"fewer bytes than the shape", one(R"({"dtype":"F32","shape":[2],"data_offsets":[0,4]})"), "weight"},
      {"more bytes than the shape", one(R"({"dtype":"F16","shape":[1],"data_offsets":[0,4]})"), "weight"},
      {"overlap",
       tensor_file(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},
                       "weight":{"dtype":"BF16","shape":[3],"data_offsets":[2,8]}})",
                   eight),
       "weight: overlaps"},
      {"same bytes twice",
       tensor_file(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},
                       "weight":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})",
                   four),
       "overlaps"},
      {"gap", tensor_file(R"({"weight":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}})", eight),
       "weight: begins at 4"},
      {"data behind the last tensor",
       tensor_file(R"({"weight":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})", eight), "cover 4"},
      {"line break in a name", tensor_file(R"({"wei\nght":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})", four),
       "wei?ght"},
      {"metadata is a list", tensor_file(R"({"__metadata__":[]})", ""), "__metadata__"},
      {"metadata of numbers", tensor_file(R"({"__metadata__":{"a":1}})", ""), "__metadata__.a"},
  };
}

TEST(SafetensorsFile, RefusesMalformedFiles) {
  const TemporaryFolder folder;
  for (const BadFile& bad : bad_files()) {
    SCOPED_TRACE(bad.what);
    const auto path = folder.write("bad.safetensors", bad.content);
    expect_error([&] { SafetensorsFile{path}; }, {"bad.safetensors", bad.part});
  }
}

TEST(SafetensorsFile, RefusesWhatIsNoFile) {
  const TemporaryFolder folder;
  expect_error([&] { SafetensorsFile{folder.path()}; }, {folder.path().string()});
  expect_error([&] { SafetensorsFile{folder.path() / "absent"}; }, {"absent"});
}

}  // namespace
}  // namespace precis
