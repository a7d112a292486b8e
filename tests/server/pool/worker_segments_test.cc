// The daemon's end of a worker's control socket, against a worker that reads when the test says so.
#include "server/pool/worker_segments.h"

#include <gmock/gmock.h>
#include <sys/epoll.h>

#include <memory>
#include <optional>
#include <tuple>
#include <utility>
#include <variant>

#include "common/os/clock.h"

namespace prefork::pool {
namespace {

using ::testing::HasSubstr;

class WorkerSegmentsTest : public ::testing::Test {
 protected:
  WorkerSegmentsTest() : loop_(*os::EventLoop::Create(os::Clock::System())) {
    std::tie(control_, worker_) = *zygote::ControlSocket::CreatePair();
    EXPECT_TRUE(loop_
                    ->Watch(control_.fd(), EPOLLIN,
                            [this](uint32_t events) {
                              if ((events & EPOLLOUT) == 0) return;
                              ++writable_;
                              written_ = segments_.OnWritable();
                            })
                    .ok());
  }
  ~WorkerSegmentsTest() override {
    if (control_.valid()) loop_->Unwatch(control_.fd());
  }

  shm::SegmentRef Lease() { return *pool_->Lease(1000, 0); }
  // What the worker finds next; nullopt: nothing.
  std::optional<zygote::Message> Read() {
    auto received = worker_.Receive(/*wait=*/false);
    EXPECT_TRUE(received.ok()) << received.status();
    if (!received.ok() || !received->has_value()) return std::nullopt;
    return std::move((*received)->message);
  }
  void FillControlSocket() {
    while (control_.Send(zygote::SegmentRelease{1}).ok()) {
    }
  }
  // Reads all that FillControlSocket sent.
  void EmptyControlSocket() {
    while (Read()) {
    }
  }

  const std::shared_ptr<shm::SegmentPool> pool_ = shm::SegmentPool::Create({});
  const std::unique_ptr<os::EventLoop> loop_;
  zygote::ControlSocket control_, worker_;
  WorkerSegments segments_{{3, 4}, loop_.get(), &control_};
  int writable_ = 0;
  absl::Status written_;
};

TEST_F(WorkerSegmentsTest, ALeaseLastsUntilItsReleaseAndTheWorkerLearnsBoth) {
  shm::SegmentRef segment = Lease();
  const uint64_t id = segment->id();
  ASSERT_TRUE(segments_.Send(segment).ok());
  segment.reset();
  EXPECT_NE(segments_.Find(id), nullptr);
  EXPECT_GT(pool_->leased_bytes(), 0u);
  const std::optional<zygote::Message> granted = Read();
  ASSERT_TRUE(granted && std::holds_alternative<zygote::SegmentGrant>(*granted));
  EXPECT_EQ(std::get<zygote::SegmentGrant>(*granted).segment_id, id);

  segments_.Release(id);
  EXPECT_EQ(segments_.Find(id), nullptr);
  EXPECT_EQ(pool_->leased_bytes(), 0u);
  const std::optional<zygote::Message> released = Read();
  ASSERT_TRUE(released && std::holds_alternative<zygote::SegmentRelease>(*released));
  EXPECT_EQ(std::get<zygote::SegmentRelease>(*released).segment_id, id);

  segments_.Release(id);
  EXPECT_FALSE(Read()) << "it has no such lease";
}

TEST_F(WorkerSegmentsTest, EitherAnswerEndsTheRequest) {
  segments_.NoteRequest();
  EXPECT_TRUE(segments_.asked());
  ASSERT_TRUE(segments_.Grant(Lease()).ok());
  EXPECT_FALSE(segments_.asked());
  const std::optional<zygote::Message> granted = Read();
  ASSERT_TRUE(granted && std::holds_alternative<zygote::ValueSegment>(*granted));

  segments_.NoteRequest();
  ASSERT_TRUE(segments_.Deny(77, "no room").ok());
  EXPECT_FALSE(segments_.asked());
  const std::optional<zygote::Message> denied = Read();
  ASSERT_TRUE(denied && std::holds_alternative<zygote::SegmentDenied>(*denied));
  EXPECT_EQ(std::get<zygote::SegmentDenied>(*denied).size_bytes, 77u);
  EXPECT_EQ(std::get<zygote::SegmentDenied>(*denied).reason, "no room");
}

TEST_F(WorkerSegmentsTest, AnAnswerThatFindsNoRoomGoesOutOnceThereIsSome) {
  FillControlSocket();
  segments_.NoteRequest();
  const shm::SegmentRef segment = Lease();
  ASSERT_TRUE(segments_.Grant(segment).ok());
  EXPECT_TRUE(segments_.asked()) << "it still waits";
  EXPECT_EQ(segments_.Find(segment->id()), nullptr) << "it can't know of it";
  loop_->RunOnce(0);
  EXPECT_EQ(writable_, 0);

  EmptyControlSocket();
  loop_->RunOnce(0);
  EXPECT_EQ(writable_, 1);
  EXPECT_TRUE(written_.ok()) << written_;
  EXPECT_FALSE(segments_.asked());
  EXPECT_EQ(segments_.Find(segment->id()), segment);
  const std::optional<zygote::Message> granted = Read();
  ASSERT_TRUE(granted && std::holds_alternative<zygote::ValueSegment>(*granted));
  EXPECT_EQ(std::get<zygote::ValueSegment>(*granted).segment_id, segment->id());

  loop_->RunOnce(0);
  EXPECT_EQ(writable_, 1) << "room is waited for only while there is something to send";
}

TEST_F(WorkerSegmentsTest, ASegmentAheadOfATaskIsNotKept) {
  FillControlSocket();
  const shm::SegmentRef segment = Lease();
  EXPECT_TRUE(absl::IsUnavailable(segments_.Send(segment)));
  EXPECT_EQ(segments_.Find(segment->id()), nullptr);
  EmptyControlSocket();
  loop_->RunOnce(0);
  EXPECT_FALSE(Read());
}

TEST_F(WorkerSegmentsTest, AWorkerThatIsEndingTakesNoMore) {
  loop_->Unwatch(control_.fd());
  control_.Close();
  const absl::Status sent = segments_.Send(Lease());
  EXPECT_TRUE(absl::IsFailedPrecondition(sent));
  EXPECT_THAT(sent.message(), HasSubstr("worker 3 generation 4 is ending"));
  EXPECT_TRUE(absl::IsFailedPrecondition(segments_.Deny(1, "why")));
}

TEST_F(WorkerSegmentsTest, TheEndOfTheWorkerEndsLeasesAndWhatWasOnItsWay) {
  ASSERT_TRUE(segments_.Send(Lease()).ok());
  FillControlSocket();
  segments_.NoteRequest();
  ASSERT_TRUE(segments_.Grant(Lease()).ok());
  EXPECT_GT(pool_->leased_bytes(), 0u);
  segments_.Clear();
  EXPECT_EQ(pool_->leased_bytes(), 0u);
}

}  // namespace
}  // namespace prefork::pool
