// Large payloads and values between a client on the same host and workers, without copies.
#include <cstring>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "prefork/api.h"
#include "prefork/client.h"
#include "tests/integration/daemon_fixture.h"
#include "tests/integration/wait_for.h"

namespace prefork::testing {
namespace {

using client::Client;
using client::Segment;
using client::SegmentSlice;
using client::TaskHandle;
using client::TaskResult;
using client::TaskSpec;
using ::testing::HasSubstr;

constexpr size_t kMiB = size_t{1} << 20;

// Bytes that differ from place to place.
void Fill(std::span<std::byte> bytes, uint64_t seed) {
  for (size_t i = 0; i < bytes.size(); i += 61) bytes[i] = std::byte((seed + i / 61) % 251);
}
std::string Pattern(size_t size, uint64_t seed) {
  std::string bytes(size, 'p');
  Fill({reinterpret_cast<std::byte*>(bytes.data()), size}, seed);
  return bytes;
}

class SegmentsTest : public ::testing::Test {
 protected:
  void Start(const std::string& limits = "") {
    auto daemon = Daemon::Start({.config = limits + NativePoolConfig("p", 2)});
    ASSERT_TRUE(daemon.ok()) << daemon.status();
    daemon_ = *std::move(daemon);
  }
  Client Connect(bool map_values) {
    auto client = Client::Connect({.address = daemon_->address(), .map_values = map_values});
    EXPECT_TRUE(client.ok()) << client.status();
    return *std::move(client);
  }
  // Of a finished task nothing is kept, so that what is leased is what clients have.
  static TaskSpec Echo() {
    return {.pool = "p", .function = "echo", .result_ttl = absl::ZeroDuration()};
  }
  static std::shared_ptr<Segment> Allocate(Client& client, size_t size) {
    auto segment = client.AllocateSegment(size);
    EXPECT_TRUE(segment.ok()) << segment.status();
    return *segment;
  }
  static TaskResult Run(Client& client, const TaskSpec& spec) {
    const auto task = client.Submit(spec);
    EXPECT_TRUE(task.ok()) << task.status();
    return task.ok() ? End(*task) : TaskResult();
  }
  static TaskResult End(const TaskHandle& task) {
    const auto result = task.Get(absl::Seconds(60));
    EXPECT_TRUE(result.ok()) << result.status();
    if (!result.ok()) return {};
    EXPECT_TRUE(result->ok()) << client::ToStatus(*result);
    return *result;
  }
  bool NothingIsLeased(Client& client) {
    return WaitFor([&] {
      const auto status = client.api().GetStatus();
      return status.ok() && status->segment_bytes_leased() == 0;
    });
  }

  std::unique_ptr<Daemon> daemon_;
};

TEST_F(SegmentsTest, AHundredMebibytesGoThereAndBackInPlace) {
  Start();
  Client client = Connect(/*map_values=*/true);
  {
    const std::shared_ptr<Segment> segment = Allocate(client, 100 * kMiB);
    EXPECT_TRUE(segment->shared());
    EXPECT_EQ(segment->size(), 100 * kMiB);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(segment->bytes().data()) % 4096, 0U);
    Fill(segment->bytes(), 7);
    TaskSpec spec = Echo();
    spec.payload_segment = {segment, 0, segment->size()};
    const TaskResult result = Run(client, spec);
    ASSERT_NE(result.mapped, nullptr);
    EXPECT_TRUE(result.value.empty());
    EXPECT_EQ(reinterpret_cast<uintptr_t>(result.mapped->bytes().data()) % 64, 0U);
    EXPECT_EQ(result.value_view(), spec.payload_segment.view());
    EXPECT_NE(result.value_view().data(), spec.payload_segment.view().data());
  }
  EXPECT_TRUE(NothingIsLeased(client));
}

TEST_F(SegmentsTest, BytesAndStringsWorkAsBefore) {
  Start();
  Client client = Connect(/*map_values=*/false);
  for (const size_t size : {size_t{1}, 64 * size_t{1024} - 1, 64 * size_t{1024}, 128 * size_t{1024},
                            256 * size_t{1024} + 1, 3 * kMiB, 20 * kMiB}) {
    TaskSpec spec = Echo();
    spec.payload = Pattern(size, size);
    const TaskResult result = Run(client, spec);
    EXPECT_EQ(result.mapped, nullptr);
    EXPECT_TRUE(result.value == spec.payload) << size;
  }
  EXPECT_TRUE(NothingIsLeased(client));
}

TEST_F(SegmentsTest, OneSegmentServesManyTasks) {
  Start();
  Client client = Connect(/*map_values=*/true);
  const std::shared_ptr<Segment> segment = Allocate(client, 4 * kMiB);
  Fill(segment->bytes(), 3);
  auto prepared = client.Prepare(Echo());
  ASSERT_TRUE(prepared.ok()) << prepared.status();
  for (int round = 0; round < 3; ++round) {
    std::vector<std::pair<SegmentSlice, TaskHandle>> tasks;
    for (size_t i = 0; i < 64; ++i) {
      const SegmentSlice slice = {segment, i * 64, 1 + i * 60'000};
      auto task = prepared->Submit(slice);
      ASSERT_TRUE(task.ok()) << task.status();
      tasks.emplace_back(slice, *task);
    }
    for (const auto& [slice, task] : tasks) {
      EXPECT_TRUE(End(task).value_view() == slice.view()) << slice.offset;
    }
    Fill(segment->bytes(), 100 + round);
  }
}

TEST_F(SegmentsTest, ManyLargeValuesAtOnceAllArrive) {
  Start();
  Client client = Connect(/*map_values=*/true);
  const std::string payload = Pattern(200'000, 1);
  std::vector<TaskHandle> tasks;
  TaskSpec spec = Echo();
  spec.payload = payload;
  for (int i = 0; i < 400; ++i) {
    auto task = client.Submit(spec);
    ASSERT_TRUE(task.ok()) << task.status();
    tasks.push_back(*task);
  }
  for (TaskHandle& task : tasks) {
    EXPECT_TRUE(End(task).value_view() == payload);
    task = TaskHandle();
  }
  EXPECT_TRUE(NothingIsLeased(client));
}

TEST_F(SegmentsTest, CallbacksGetTheValueAsTheClientWantsIt) {
  Start();
  for (const bool mapped : {false, true}) {
    Client client = Connect(mapped);
    TaskSpec spec = Echo();
    spec.payload = Pattern(kMiB, 9);
    std::optional<TaskResult> got;
    const auto task = client.Submit(
        spec, {.on_done = [&](const TaskHandle&, const absl::StatusOr<TaskResult>& result) {
          if (result.ok()) got = *result;
        }});
    ASSERT_TRUE(task.ok()) << task.status();
    ASSERT_TRUE(client.WaitAll().ok());
    ASSERT_TRUE(got.has_value());
    EXPECT_EQ(got->mapped != nullptr, mapped);
    EXPECT_TRUE(got->value_view() == spec.payload);
  }
}

TEST_F(SegmentsTest, WhatWasGivenCanBeRetriedAndWhatWasLentCannot) {
  Start();
  Client client = Connect(/*map_values=*/true);
  TaskSpec spec = Echo();
  spec.result_ttl = absl::Hours(1);
  spec.payload = Pattern(kMiB, 5);
  const auto given = client.Submit(spec);
  ASSERT_TRUE(given.ok()) << given.status();
  End(*given);
  const absl::StatusOr<uint64_t> again = client.api().RetryTask(given->id());
  ASSERT_TRUE(again.ok()) << again.status();
  ASSERT_TRUE(client.api().WaitTask(*again, absl::Seconds(60)).ok());
  EXPECT_TRUE(*client.ReadValue(*again) == spec.payload);

  const std::shared_ptr<Segment> segment = Allocate(client, kMiB);
  Fill(segment->bytes(), 1);
  spec.payload.clear();
  spec.payload_segment = {segment, 0, kMiB};
  const auto lent = client.Submit(spec);
  ASSERT_TRUE(lent.ok()) << lent.status();
  End(*lent);
  const absl::Status refused = client.api().RetryTask(lent->id()).status();
  EXPECT_EQ(refused.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(refused.message()), HasSubstr("in a segment of its client"));
}

TEST_F(SegmentsTest, EveryBoundIsARefusalAndPayloadsGoRoundIt) {
  Start("[limits]\nclient_segment_bytes = \"512KiB\"\n");
  Client client = Connect(/*map_values=*/true);
  const auto refused = client.AllocateSegment(kMiB);
  EXPECT_EQ(refused.status().code(), absl::StatusCode::kResourceExhausted) << refused.status();
  EXPECT_THAT(std::string(refused.status().message()), HasSubstr("limits.client_segment_bytes"));
  TaskSpec spec = Echo();
  spec.result_ttl.reset();  // chunks are read after the end
  spec.payload = Pattern(3 * kMiB, 2);
  const TaskResult result = Run(client, spec);
  EXPECT_EQ(result.mapped, nullptr) << "it came in chunks";
  EXPECT_TRUE(result.value == spec.payload);
}

TEST_F(SegmentsTest, FullMemoryIsARefusal) {
  Start("[limits]\nsegments = \"8MiB\"\nwarm_segments = \"0\"\n");
  Client client = Connect(/*map_values=*/true);
  std::vector<std::shared_ptr<Segment>> held;
  absl::Status status;
  while (status.ok() && held.size() < 100) {
    auto segment = client.AllocateSegment(kMiB);
    status = segment.status();
    if (segment.ok()) held.push_back(*segment);
  }
  EXPECT_EQ(held.size(), 8U);
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(std::string(status.message()), HasSubstr("all segments together"));
  held.clear();
  EXPECT_TRUE(WaitFor([&] { return client.AllocateSegment(kMiB).ok(); }));
}

TEST_F(SegmentsTest, WrongSlicesAreRefusedHere) {
  Start();
  Client client = Connect(/*map_values=*/true);
  const std::shared_ptr<Segment> segment = Allocate(client, kMiB);
  TaskSpec spec = Echo();
  for (const SegmentSlice& wrong :
       {SegmentSlice{segment, 8, 1}, SegmentSlice{segment, 0, kMiB + 1},
        SegmentSlice{segment, 64, SIZE_MAX}, SegmentSlice{segment, 2 * kMiB, 0}}) {
    spec.payload_segment = wrong;
    EXPECT_EQ(client.Submit(spec).status().code(), absl::StatusCode::kInvalidArgument);
  }
  spec.payload_segment = {segment, 0, 5};
  spec.payload = "both";
  EXPECT_EQ(client.Submit(spec).status().code(), absl::StatusCode::kInvalidArgument);
}

TEST_F(SegmentsTest, WithoutTheSocketEverythingGoesInChunks) {
  Start();
  ASSERT_TRUE(std::filesystem::remove(daemon_->socket() + ".segments"));
  Client client = Connect(/*map_values=*/true);
  const std::shared_ptr<Segment> segment = Allocate(client, 3 * kMiB);
  EXPECT_FALSE(segment->shared());
  Fill(segment->bytes(), 4);
  TaskSpec spec = Echo();
  spec.result_ttl.reset();
  spec.payload_segment = {segment, 64, 2 * kMiB};
  const TaskResult result = Run(client, spec);
  EXPECT_EQ(result.mapped, nullptr);
  EXPECT_TRUE(result.value == spec.payload_segment.view());
}

TEST_F(SegmentsTest, ValuesOutliveTheClientAndTheDaemon) {
  Start();
  TaskSpec spec = Echo();
  spec.payload = Pattern(5 * kMiB, 6);
  TaskResult result;
  std::shared_ptr<Segment> segment;
  {
    Client client = Connect(/*map_values=*/true);
    result = Run(client, spec);
    ASSERT_NE(result.mapped, nullptr);
    segment = Allocate(client, kMiB);
    Fill(segment->bytes(), 1);
  }
  EXPECT_TRUE(result.value_view() == spec.payload);
  ASSERT_TRUE(daemon_->Stop().ok());
  EXPECT_TRUE(result.value_view() == spec.payload);
  EXPECT_TRUE(Pattern(64, 1).substr(0, 1) ==
              std::string(reinterpret_cast<const char*>(segment->bytes().data()), 1));
}

TEST_F(SegmentsTest, AnotherClientsSegmentIsCopied) {
  Start();
  Client owner = Connect(/*map_values=*/true);
  Client other = Connect(/*map_values=*/true);
  const std::shared_ptr<Segment> segment = Allocate(owner, 2 * kMiB);
  Fill(segment->bytes(), 8);
  TaskSpec spec = Echo();
  spec.result_ttl.reset();
  spec.payload_segment = {segment, 0, segment->size()};
  EXPECT_TRUE(Run(other, spec).value_view() == spec.payload_segment.view());
}

}  // namespace
}  // namespace prefork::testing
