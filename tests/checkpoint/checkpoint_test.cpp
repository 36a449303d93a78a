#include "checkpoint/checkpoint.h"

#include "checkpoint/hand_made.h"

namespace precis {
namespace {

// A file with one f32 tensor of one element.
std::string one_tensor(const std::string& name, float value) {
  std::string data(sizeof value, '\0');
  std::memcpy(data.data(), &value, sizeof value);
  return tensor_file(R"({")" + name + R"(":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})", data);
}

float value_of(const Checkpoint& checkpoint, const std::string& name) {
  return to_floats(name, checkpoint.tensor(name).view).at(0);
}

Checkpoint open(const TemporaryFolder& folder) {
  return Checkpoint(Folder(folder.path()));
}

TEST(Checkpoint, OneFile) {
  const TemporaryFolder folder;
  folder.write("config.json", R"({"hidden_size": 64})");
  folder.write("model.safetensors", one_tensor("a", 3));
  const Checkpoint checkpoint = open(folder);
  EXPECT_EQ(checkpoint.config().at("hidden_size").integer(0, 100), 64);
  EXPECT_FALSE(checkpoint.generation_config().has_value());
  EXPECT_EQ(checkpoint.names(), std::vector<std::string>{"a"});
  EXPECT_EQ(checkpoint.files(), std::vector<std::string>{"model.safetensors"});
  EXPECT_EQ(checkpoint.bytes(), 4);
  EXPECT_FALSE(checkpoint.find("b").has_value());
  checkpoint.prefetch();
  EXPECT_EQ(value_of(checkpoint, "a"), 3);
  expect_error([&] { checkpoint.tensor("b"); }, {folder.path().string(), "b: no such tensor"});
}

TEST(Checkpoint, ManyShards) {
  const TemporaryFolder folder;
  folder.write("config.json", "{}");
  folder.write("generation_config.json", R"({"eos_token_id": 7})");
  folder.write("one.safetensors", one_tensor("a", 1));
  folder.write("two.safetensors", one_tensor("b", 2));
  folder.write("model.safetensors.index.json",
               R"({"metadata": {"total_size": 8}, "weight_map": {"a": "one.safetensors", "b": "two.safetensors"}})");
  Checkpoint opened = open(folder);
  const Checkpoint checkpoint = std::move(opened);
  EXPECT_EQ(checkpoint.generation_config()->at("eos_token_id").integer(0, 9), 7);
  EXPECT_EQ(checkpoint.files(), (std::vector<std::string>{"one.safetensors", "two.safetensors"}));
  EXPECT_EQ(checkpoint.names(), (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(checkpoint.bytes(), 8);
  EXPECT_EQ(value_of(checkpoint, "a"), 1);
  EXPECT_EQ(value_of(checkpoint, "b"), 2);
}

TEST(Checkpoint, ATensorComesFromTheShardThatTheIndexNames) {
  const TemporaryFolder folder;
  folder.write("config.json", "{}");
  folder.write("one.safetensors", one_tensor("a", 1));
  folder.write("two.safetensors", one_tensor("a", 2));
  folder.write("model.safetensors.index.json", R"({"weight_map": {"a": "two.safetensors"}})");
  EXPECT_EQ(value_of(open(folder), "a"), 2);
}

struct BadFolder {
  std::string what;
  std::vector<std::pair<std::string, std::string>> files;
  std::vector<std::string> parts;  // of the message
};

std::vector<BadFolder> bad_folders() {
  const std::pair<std::string, std::string> config = {"config.json", "{}"};
  const std::pair<std::string, std::string> shard = {"one.safetensors", one_tensor("a", 1)};
  const std::string index = "model.safetensors.index.json";
  return {
      {"no configuration", {{"model.safetensors", one_tensor("a", 1)}}, {"config.json"}},
      {"configuration is a list", {{"config.json", "[]"}}, {"config.json", "object"}},
      {"configuration cut short", {{"config.json", "{\"a\":"}}, {"config.json", "not valid JSON"}},
      {"configuration empty", {{"config.json", ""}}, {"config.json", "not valid JSON"}},
      {"configuration nested deep", {{"config.json", std::string(1'000'000, '[')}}, {"config.json", "nested"}},
      {"configuration of 17 MB", {{"config.json", std::string(17 << 20, ' ')}}, {"config.json"}},
      {"generation_config is a number", {config, {"generation_config.json", "3"}}, {"generation_config.json"}},
      {"no tensors", {config}, {"model.safetensors", index}},
      {"PyTorch weights", {config, {"pytorch_model.bin", "x"}}, {"only safetensors", "pytorch_model.bin"}},
      {"GGUF weights", {config, {"model.gguf", "x"}}, {"only safetensors", "model.gguf"}},
      {"malformed tensor file", {config, {"model.safetensors", "x"}}, {"model.safetensors", "too short"}},
      {"index is a list", {config, {index, "[]"}}, {index, "object"}},
      {"index without map", {config, {index, "{}"}}, {index, "weight_map: missing"}},
      {"map is a list", {config, {index, R"({"weight_map": []})"}}, {index, "weight_map"}},
      {"shard is a number", {config, {index, R"({"weight_map": {"a": 1}})"}}, {index, "weight_map.a"}},
      {"shard outside the folder",
       {config, {index, R"({"weight_map": {"a": "../one.safetensors"}})"}},
       {index, "weight_map.a", "../one.safetensors"}},
      {"shard at the root", {config, {index, R"({"weight_map": {"a": "/etc/passwd"}})"}}, {index, "/etc/passwd"}},
      {"shard in a subfolder", {config, {index, R"({"weight_map": {"a": "x/y"}})"}}, {index, "x/y"}},
      {"shard is the folder", {config, {index, R"({"weight_map": {"a": "."}})"}}, {index, "weight_map.a", "'.'"}},
      {"shard without a name", {config, {index, R"({"weight_map": {"a": ""}})"}}, {index, "weight_map.a"}},
      {"line break in a shard's name", {config, {index, R"({"weight_map": {"a": "x\ny"}})"}}, {index, "weight_map.a"}},
      {"line break in a tensor's name", {config, {index, R"({"weight_map": {"a\nb": "x"}})"}}, {index, "a?b"}},
      {"missing shard",
       {config, shard, {index, R"({"weight_map": {"a": "one.safetensors", "b": "two.safetensors"}})"}},
       {index, "weight_map.b", "two.safetensors"}},
      {"tensor not in its shard",
       {config, shard, {index, R"({"weight_map": {"b": "one.safetensors"}})"}},
       {index, "weight_map.b", "one.safetensors"}},
      {"malformed shard",
       {config, {"one.safetensors", "x"}, {index, R"({"weight_map": {"a": "one.safetensors"}})"}},
       {index, "weight_map.a", "one.safetensors", "too short"}},
  };
}

TEST(Checkpoint, RefusesMalformedFolders) {
  for (const BadFolder& bad : bad_folders()) {
    SCOPED_TRACE(bad.what);
    const TemporaryFolder folder;
    for (const auto& [name, content] : bad.files) folder.write(name, content);
    std::vector<std::string> parts = bad.parts;
    parts.push_back(folder.path().string());
    expect_error([&] { open(folder); }, parts);
  }
}

TEST(Checkpoint, RefusesWhatIsNoFolder) {
  const TemporaryFolder folder;
  const auto file = folder.write("file", "x");
  expect_error([&] { Checkpoint{Folder(file)}; }, {file.string()});
  expect_error([&] { Checkpoint{Folder(folder.path() / "absent")}; }, {"absent"});
}

}  // namespace
}  // namespace precis
