#include "server/engine/request_ids.h"

#include <memory>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/engine/errors.h"

namespace prefork::engine {
namespace {

using ::testing::HasSubstr;

class RequestIdsTest : public ::testing::Test {
 protected:
  static TaskSubmission Submission(const std::string& id, const std::string& payload) {
    auto options = std::make_shared<TaskOptions>();
    options->function = "f";
    TaskSubmission task;
    task.options = options;
    task.request_id = id;
    task.payload = Bytes(payload);
    return task;
  }
  TaskSlot Known(uint32_t uid, const TaskSubmission& task) {
    const TaskSlot slot = tasks_.Add();
    tasks_.at(slot).options = task.options;
    tasks_.at(slot).payload = task.payload;
    ids_.Add(uid, task.request_id, slot);
    return slot;
  }

  TaskTable tasks_{1};
  RequestIds ids_{&tasks_};
};

TEST_F(RequestIdsTest, TheSameBodyIsTheSameTask) {
  const TaskSlot slot = Known(5, Submission("a", "body"));
  const auto found = ids_.Find(5, Submission("a", "body"));
  ASSERT_TRUE(found.ok());
  EXPECT_EQ(*found, slot);
  EXPECT_EQ(*ids_.Find(5, Submission("b", "body")), kNone);
}

TEST_F(RequestIdsTest, UsersDoNotShareIds) {
  Known(5, Submission("a", "body"));
  EXPECT_EQ(*ids_.Find(6, Submission("a", "other body")), kNone);
}

TEST_F(RequestIdsTest, AnotherBodyIsRefusedAndTheTaskNamed) {
  const TaskSlot slot = Known(5, Submission("a", "body"));
  const absl::Status status = ids_.Find(5, Submission("a", "bodY")).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kAlreadyExists);
  EXPECT_EQ(ReasonOf(status), reason::kRequestIdReused);
  EXPECT_EQ(ResourceOf(status), "a");
  EXPECT_THAT(std::string(status.message()), HasSubstr(absl::StrCat("task ", tasks_.at(slot).id)));
}

TEST_F(RequestIdsTest, AForgottenIdIsFreeAgain) {
  Known(5, Submission("a", "body"));
  ids_.Remove(5, "a");
  EXPECT_EQ(*ids_.Find(5, Submission("a", "another")), kNone);
}

TEST(SameOptionsTest, EveryFieldCounts) {
  const TaskOptions base;
  EXPECT_TRUE(SameOptions(base, TaskOptions()));
  const auto differs = [&](auto change) {
    TaskOptions other;
    change(other);
    return !SameOptions(base, other) && !SameOptions(other, base);
  };
  EXPECT_TRUE(differs([](TaskOptions& o) { o.pool = "x"; }));
  EXPECT_TRUE(differs([](TaskOptions& o) { o.function = "x"; }));
  EXPECT_TRUE(differs([](TaskOptions& o) { o.command.emplace(); }));
  EXPECT_TRUE(differs([](TaskOptions& o) { o.content_type = "x"; }));
  EXPECT_TRUE(differs([](TaskOptions& o) { o.priority = 1; }));
  EXPECT_TRUE(differs([](TaskOptions& o) { o.delay = absl::Seconds(1); }));
  EXPECT_TRUE(differs([](TaskOptions& o) { o.not_before = absl::UnixEpoch(); }));
  EXPECT_TRUE(differs([](TaskOptions& o) { o.timeout = absl::Seconds(1); }));
  EXPECT_TRUE(differs([](TaskOptions& o) { o.grace = absl::Seconds(1); }));
  EXPECT_TRUE(differs([](TaskOptions& o) { o.queue_timeout = absl::Seconds(1); }));
  EXPECT_TRUE(differs([](TaskOptions& o) { o.retry.max_attempts = 2; }));
  EXPECT_TRUE(differs([](TaskOptions& o) { o.after = {1}; }));
  EXPECT_TRUE(differs([](TaskOptions& o) { o.labels["a"] = "b"; }));
  EXPECT_TRUE(differs([](TaskOptions& o) { o.result_ttl = absl::Seconds(1); }));
  EXPECT_TRUE(differs([](TaskOptions& o) { o.dedicated = true; }));
  EXPECT_TRUE(differs([](TaskOptions& o) { o.detached = true; }));
  TaskOptions a, b;
  a.command.emplace().argv = {"x"};
  b.command.emplace().argv = {"y"};
  EXPECT_FALSE(SameOptions(a, b));
}

}  // namespace
}  // namespace prefork::engine
