#include "client/cpp/tag_table.h"

#include <gtest/gtest.h>

#include <vector>

namespace prefork::client::internal {
namespace {

// Records without a session.
class TagTableTest : public ::testing::Test {
 protected:
  RecordPtr Make(uint64_t tag) {
    if (block_ == nullptr) block_ = new RecordBlock(nullptr);
    RecordPtr record = block_->Make(/*detached=*/false, {});
    record->tag = tag;
    if (block_->full()) block_ = nullptr;
    return record;
  }
  ~TagTableTest() override {
    if (block_ != nullptr) block_->Seal();
  }

  RecordBlock* block_ = nullptr;
  TagTable table_;
};

TEST_F(TagTableTest, FindsWhatWasAddedUntilItIsRemoved) {
  for (uint64_t tag = 0; tag < 5000; ++tag) table_.Add(tag, Make(tag));
  for (uint64_t tag = 0; tag < 5000; ++tag) {
    ASSERT_NE(table_.Find(tag), nullptr);
    ASSERT_EQ(table_.Find(tag)->tag, tag);
  }
  EXPECT_EQ(table_.Find(5000), nullptr);
  EXPECT_EQ(table_.Find(UINT64_MAX), nullptr);
  for (uint64_t tag = 1; tag < 5000; tag += 2) {
    const RecordPtr record = table_.Remove(tag);
    ASSERT_TRUE(record != nullptr);
    EXPECT_EQ(record->tag, tag);
  }
  for (uint64_t tag = 0; tag < 5000; ++tag) {
    EXPECT_EQ(table_.Find(tag) != nullptr, tag % 2 == 0);
    EXPECT_EQ(table_.Remove(tag) != nullptr, tag % 2 == 0);
  }
}

TEST_F(TagTableTest, VisitsInTheOrderOfTags) {
  for (uint64_t tag = 0; tag < 3000; ++tag) table_.Add(tag, Make(tag));
  for (uint64_t tag = 10; tag < 2990; ++tag) table_.Remove(tag);
  std::vector<uint64_t> tags;
  table_.ForEach([&tags](const RecordPtr& record) { tags.push_back(record->tag); });
  EXPECT_EQ(tags,
            (std::vector<uint64_t>{0,    1,    2,    3,    4,    5,    6,    7,    8,    9,
                                   2990, 2991, 2992, 2993, 2994, 2995, 2996, 2997, 2998, 2999}));
}

TEST_F(TagTableTest, AHandleOutlivesTheTable) {
  table_.Add(0, Make(0));
  const RecordPtr kept(table_.Find(0));
  table_ = TagTable();
  EXPECT_EQ(kept->tag, 0u);
}

}  // namespace
}  // namespace prefork::client::internal
