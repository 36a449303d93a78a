#include "base/atomic_folder.h"

#include <gtest/gtest.h>

#include <fstream>

#include "base/error.h"

namespace precis {
namespace {

namespace fs = std::filesystem;

class AtomicFolderTest : public testing::Test {
 protected:
  AtomicFolderTest() {
    std::string name = (fs::temp_directory_path() / "precis-test-XXXXXX").string();
    PRECIS_CHECK(::mkdtemp(name.data()) != nullptr);
    home_ = name;
  }
  ~AtomicFolderTest() override { fs::remove_all(home_); }

  static void fill(const fs::path& folder) { std::ofstream(folder / "file") << "text"; }
  std::ptrdiff_t entries() const { return std::distance(fs::directory_iterator(home_), {}); }

  fs::path home_;
};

TEST_F(AtomicFolderTest, AppearsWhenCommitted) {
  for (const bool empty_one_is_there : {false, true}) {
    const fs::path path = home_ / (empty_one_is_there ? "b" : "a");
    if (empty_one_is_there) fs::create_directory(path);
    AtomicFolder folder(path / "");
    fill(folder.inside());
    EXPECT_FALSE(fs::exists(path / "file"));
    folder.commit();
    EXPECT_TRUE(fs::exists(path / "file"));
  }
  EXPECT_EQ(entries(), 2) << "nothing else is left";
}

TEST_F(AtomicFolderTest, LeavesNothingWhenGivenUp) {
  {
    const AtomicFolder folder(home_ / "a");
    fill(folder.inside());
  }
  EXPECT_EQ(entries(), 0);
}

TEST_F(AtomicFolderTest, RefusesWhatIsThere) {
  fs::create_directory(home_ / "full");
  fill(home_ / "full");
  EXPECT_THROW(AtomicFolder(home_ / "full"), Error);
  EXPECT_THROW(AtomicFolder(home_ / "full" / "file"), Error);
  EXPECT_THROW(AtomicFolder(home_ / "absent" / "out"), Error);
  AtomicFolder folder(home_ / "late");
  fs::create_directory(home_ / "late");
  fill(home_ / "late");
  EXPECT_THROW(folder.commit(), Error) << "came to be meanwhile";
}

}  // namespace
}  // namespace precis
