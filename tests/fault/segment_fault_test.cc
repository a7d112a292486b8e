// Segments in the hands of clients and workers that die, lie or write nonsense.
#include <signal.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "client/cpp/segment_channel.h"
#include "common/os/pipe.h"
#include "common/os/spawn.h"
#include "common/os/unix_socket.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/fault/fault_bed.h"

namespace prefork::fault {
namespace {

using client::EndCause;
using client::Segment;
using client::TaskHandle;
using client::TaskSpec;
using client::TaskState;
using client::internal::SegmentChannel;
using ::testing::HasSubstr;

constexpr size_t kMiB = size_t{1} << 20;
// Warm memory keeps descriptors; nothing of it may be left here.
constexpr char kNothingWarm[] = "[limits]\nwarm_segments = \"0\"\n[results]\nttl = \"0s\"\n";

bool NothingIsLeased(FaultBed& bed) {
  return testing::WaitFor([&] {
    const auto status = bed.api().GetStatus();
    return status.ok() && status->segment_bytes_leased() == 0;
  });
}

std::shared_ptr<Segment> Allocate(FaultBed& bed, size_t bytes) {
  auto segment = bed.client().AllocateSegment(bytes);
  EXPECT_TRUE(segment.ok()) << segment.status();
  EXPECT_TRUE((*segment)->shared());
  std::memset((*segment)->bytes().data(), 'x', bytes);
  return *segment;
}

TaskSpec Lent(const std::shared_ptr<Segment>& segment, const std::string& function) {
  TaskSpec spec{.pool = "p", .function = function};
  spec.payload_segment = {segment, 0, segment->size()};
  return spec;
}

std::shared_ptr<SegmentChannel> Channel(FaultBed& bed) {
  auto channel = SegmentChannel::Connect(bed.daemon().address(), absl::Now() + kPatience);
  EXPECT_TRUE(channel.ok()) << channel.status();
  return *std::move(channel);
}

TEST(SegmentFaultTest, AKilledClientLeavesNothing) {
  FaultBed bed({.config = kNothingWarm + MisbehavingPool("p", 2)});
  for (int round = 0; round < 3; ++round) {
    auto output = os::CreatePipe();
    ASSERT_TRUE(output.ok()) << output.status();
    const auto holder = os::Spawn(
        {.argv = {SegmentHolderProgram(), bed.daemon().address(), "p", absl::StrCat(5 * kMiB)},
         .env = os::CurrentEnvironment(),
         .fds = {{1, output->write_end.get()}, {2, 2}}});
    ASSERT_TRUE(holder.ok()) << holder.status();
    output->write_end.Reset();
    char line[5] = {};
    ASSERT_EQ(read(output->read_end.get(), line, 4), 4);
    EXPECT_STREQ(line, "held");
    EXPECT_GE(bed.api().GetStatus()->segment_bytes_leased(), 10 * kMiB);
    ASSERT_TRUE(holder->SendSignal(SIGKILL).ok());
    ASSERT_TRUE(holder->Reap(/*wait=*/true).ok());
    EXPECT_TRUE(NothingIsLeased(bed));
  }
}

TEST(SegmentFaultTest, AKilledWorkerCostsItsTaskAndNotTheSegment) {
  FaultBed bed({.config = kNothingWarm + MisbehavingPool("p", 1)});
  {
    const std::shared_ptr<Segment> segment = Allocate(bed, 5 * kMiB);
    for (int round = 0; round < 3; ++round) {
      const TaskHandle task = bed.Submit(Lent(segment, "wait_cancelled"));
      ASSERT_TRUE(bed.WaitForState(task.id(), v1::TASK_STATE_RUNNING));
      ASSERT_EQ(kill(bed.Workers("p").front().pid(), SIGKILL), 0);
      ExpectEnd(FaultBed::End(task), TaskState::kCrashed, EndCause::kWorkerDied);
      const client::TaskResult after = FaultBed::End(bed.Submit(Lent(segment, "echo")));
      EXPECT_TRUE(after.value == std::string(5 * kMiB, 'x'));
    }
  }
  EXPECT_TRUE(NothingIsLeased(bed));
}

TEST(SegmentFaultTest, ACancelledTaskGivesItsSegmentBack) {
  FaultBed bed({.config = kNothingWarm + MisbehavingPool("p", 1)});
  {
    const std::shared_ptr<Segment> segment = Allocate(bed, kMiB);
    const TaskHandle running = bed.Submit(Lent(segment, "wait_cancelled"));
    const TaskHandle queued = bed.Submit(Lent(segment, "echo"));
    ASSERT_TRUE(bed.WaitForState(running.id(), v1::TASK_STATE_RUNNING));
    queued.Cancel();
    running.Cancel(/*force=*/true);
    EXPECT_EQ(FaultBed::End(queued).state, TaskState::kCancelled);
    EXPECT_EQ(FaultBed::End(running).state, TaskState::kCancelled);
    EXPECT_TRUE(FaultBed::End(bed.Submit(Lent(segment, "echo"))).ok());
  }
  EXPECT_TRUE(NothingIsLeased(bed));
}

TEST(SegmentFaultTest, PlacesThatLieAreRefused) {
  FaultBed bed({.config = kNothingWarm + MisbehavingPool("p", 1)});
  {
    const std::shared_ptr<SegmentChannel> mine = Channel(bed);
    const std::shared_ptr<SegmentChannel> strangers = Channel(bed);
    auto leased = mine->Allocate(kMiB, absl::Now() + kPatience);
    ASSERT_TRUE(leased.ok()) << leased.status();
    const uint64_t id = leased->segment_id;
    const auto submit = [&](std::string_view token, uint64_t segment_id, uint64_t offset,
                            uint64_t size) {
      v1::TaskSpec spec;
      spec.set_pool("p");
      spec.set_function("payload_size");
      spec.mutable_result_ttl()->set_seconds(3600);  // it is asked for after its end
      v1::PayloadSegment* const place = spec.mutable_payload_segment();
      place->set_token(std::string(token));
      place->set_segment_id(segment_id);
      place->set_offset(offset);
      place->set_size_bytes(size);
      return bed.api().Submit(spec);
    };
    const auto token = mine->token();
    for (const auto& [offset, size] : std::vector<std::pair<uint64_t, uint64_t>>{
             {0, 2 * kMiB}, {kMiB, kMiB}, {64, UINT64_MAX}, {UINT64_MAX - 63, 64}, {8, 1}}) {
      EXPECT_EQ(submit(token, id, offset, size).status().code(), absl::StatusCode::kInvalidArgument)
          << offset << " " << size;
    }
    for (const absl::Status& status :
         {submit(token, id + 1, 0, 1).status(), submit(token, 0, 0, 1).status(),
          submit(strangers->token(), id, 0, 1).status(), submit("", id, 0, 1).status(),
          submit(std::string(16, '\xff'), id, 0, 1).status()}) {
      EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
      EXPECT_THAT(std::string(status.message()), HasSubstr("is not leased to this client"));
    }
    const auto right = submit(token, id, 64, kMiB - 64);
    ASSERT_TRUE(right.ok()) << right.status();
    EXPECT_EQ(bed.api().WaitTask(right->task_id(), kPatience)->result().value(),
              absl::StrCat(kMiB - 64));
    mine->Release(*std::move(leased));
    EXPECT_TRUE(testing::WaitFor([&] { return !submit(token, id, 0, 1).ok(); }));
  }
  EXPECT_TRUE(NothingIsLeased(bed));
}

// What is written into a payload while the worker reads it spoils that task at most.
TEST(SegmentFaultTest, APayloadThatChangesAllTheTimeDoesNoHarm) {
  FaultBed bed({.config = kNothingWarm + MisbehavingPool("p", 1)});
  const std::shared_ptr<Segment> segment = Allocate(bed, 4 * kMiB);
  constexpr int kTasks = 10;
  std::vector<TaskHandle> tasks;
  tasks.reserve(kTasks);
  for (int i = 0; i < kTasks; ++i) tasks.push_back(bed.Submit(Lent(segment, "echo")));
  for (int i = 0; !tasks.back().done(); ++i) {
    std::memset(segment->bytes().data(), i, segment->size());
  }
  for (const TaskHandle& task : tasks) EXPECT_EQ(FaultBed::End(task).value.size(), 4 * kMiB);
  bed.ExpectWorks("p");
}

TEST(SegmentFaultTest, GarbageAndFloodsHarmNobodyElse) {
  FaultBed bed({.config = kNothingWarm + MisbehavingPool("p", 1)});
  std::minstd_rand random(1);
  const std::string path = bed.daemon().socket() + ".segments";
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  ASSERT_LT(path.size(), sizeof(address.sun_path));
  std::memcpy(address.sun_path, path.data(), path.size());
  for (int round = 0; round < 20; ++round) {
    const os::Fd socket(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
    ASSERT_EQ(connect(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
    if (round % 2 == 0) {
      std::string garbage(1 + random() % 2000, '\0');
      for (char& byte : garbage) byte = static_cast<char>(random());
      os::SendPacket(socket.get(), garbage, {}, /*wait=*/true).IgnoreError();
      continue;
    }
    // Requests without end, and no answer is ever read: the daemon reads no more of it.
    os::SendPacket(socket.get(), segments::Encode(segments::Hello{}), {}, true).IgnoreError();
    absl::Status sent;
    uint64_t requests = 0;
    for (absl::Time last = absl::Now(); absl::Now() < last + absl::Milliseconds(50);) {
      const segments::Message message =
          ++requests % 3 == 0 ? segments::Message(segments::OpenValue{requests, requests})
                              : segments::Message(segments::Allocate{requests, 64 << 10});
      sent = os::SendPacket(socket.get(), segments::Encode(message), {}, /*wait=*/false);
      if (sent.ok()) last = absl::Now();
      ASSERT_LT(requests, 100'000'000U);
    }
    EXPECT_FALSE(sent.ok());
  }
  EXPECT_TRUE(NothingIsLeased(bed));
  bed.ExpectWorks("p");
  EXPECT_TRUE(FaultBed::End(bed.Submit(Lent(Allocate(bed, kMiB), "echo"))).ok());
}

}  // namespace
}  // namespace prefork::fault
