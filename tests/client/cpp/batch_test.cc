#include "client/cpp/batch.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "prefork/v1/task_service.pb.h"

namespace prefork::client {
namespace {

std::shared_ptr<const EncodedSpec> SpecFor(const std::string& function) {
  v1::TaskSpec spec;
  spec.set_function(function);
  return std::make_shared<EncodedSpec>(EncodedSpec{.bytes = spec.SerializeAsString()});
}

v1::SessionRequest Parse(const Batch& batch) {
  const grpc::ByteBuffer message = batch.ToRequest();
  std::vector<grpc::Slice> slices;
  EXPECT_TRUE(message.Dump(&slices).ok());
  std::string bytes;
  for (const grpc::Slice& slice : slices) {
    bytes.append(reinterpret_cast<const char*>(slice.begin()), slice.size());
  }
  v1::SessionRequest request;
  EXPECT_TRUE(request.ParseFromString(bytes));
  return request;
}

TEST(Batch, ReadsBackAsTheMessageThatTheGeneratedCodeWouldWrite) {
  Batch batch(SpecFor("square"));
  const std::string long_payload(70'000, 'x');
  batch.Add(5, "abc", "");
  batch.Add(6, "", "request-1");
  batch.Add(7, long_payload, "request-2");

  v1::SessionRequest expected;
  v1::SubmitBatch* submit = expected.mutable_submit();
  submit->mutable_defaults()->set_function("square");
  v1::SubmitItem* item = submit->add_items();
  item->set_tag(5);
  item->set_payload("abc");
  item = submit->add_items();
  item->set_tag(6);
  item->mutable_spec()->set_request_id("request-1");
  item = submit->add_items();
  item->set_tag(7);
  item->set_payload(long_payload);
  item->mutable_spec()->set_request_id("request-2");
  EXPECT_EQ(Parse(batch).SerializeAsString(), expected.SerializeAsString());
}

TEST(Batch, TakesTagsOfEverySize) {
  Batch batch(SpecFor("f"));
  const std::vector<uint64_t> tags = {0, 127, 128, 1ULL << 35, ~0ULL};
  for (const uint64_t tag : tags) batch.Add(tag, "p", "");
  const v1::SessionRequest request = Parse(batch);
  ASSERT_EQ(request.submit().items_size(), 5);
  for (int i = 0; i < 5; ++i)
    EXPECT_EQ(request.submit().items(i).tag(), tags[static_cast<size_t>(i)]);
}

TEST(Batch, IsFullAtItsCountAndAtItsBytes) {
  Batch many(SpecFor("f"));
  for (uint64_t tag = 0; tag < Batch::kMaxItems; ++tag) {
    EXPECT_FALSE(many.full());
    many.Add(tag, "", "");
  }
  EXPECT_TRUE(many.full());

  Batch large(SpecFor("f"));
  large.Add(0, std::string(Batch::kMaxBytes, 'x'), "");
  EXPECT_TRUE(large.full());
}

TEST(Batch, DecodesToWhatWasAdded) {
  Batch batch(SpecFor("f"));
  batch.Add(3, "payload", "id");
  const std::vector<BatchItem> items = batch.Decode();
  ASSERT_EQ(items.size(), 1U);
  EXPECT_EQ(items[0].tag, 3U);
  EXPECT_EQ(items[0].payload, "payload");
  EXPECT_EQ(items[0].request_id, "id");
}

}  // namespace
}  // namespace prefork::client
