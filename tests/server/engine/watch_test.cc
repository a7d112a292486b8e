#include "server/engine/watch.h"

#include <memory>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/engine/errors.h"
#include "tests/server/engine/recording_sink.h"

namespace prefork::engine {
namespace {

using scheduler::TaskState;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr Caller kEverybody = {.uid = 0, .privileged = true};

class WatchTest : public ::testing::Test {
 protected:
  Watch& Open(WatchOptions options) {
    options.tasks = true;
    watch_ = std::make_unique<Watch>(1, options, &sink_, &log_, &tasks_, &pools_);
    return *watch_;
  }
  static WatchOptions OfEverybody() {
    WatchOptions options;
    options.caller = kEverybody;
    return options;
  }
  TaskId AddTask(uint32_t uid = 0, std::map<std::string, std::string> labels = {},
                 TaskState state = TaskState::kQueued) {
    auto options = std::make_shared<TaskOptions>();
    options->labels = std::move(labels);
    const TaskSlot slot = tasks_.Add();
    TaskRecord& record = tasks_.at(slot);
    record.options = options;
    record.uid = uid;
    record.state = state;
    return record.id;
  }
  uint64_t Log(TaskId id, TaskState state = TaskState::kRunning,
               EventRecord::Kind kind = EventRecord::Kind::kState, scheduler::PoolKey pool = 0) {
    EventLog::Entry entry;
    entry.task = id;
    entry.uid = tasks_.Find(id) == kNone ? 0 : tasks_.at(tasks_.Find(id)).uid;
    entry.state = state;
    entry.pool = pool;
    entry.kind = scheduler::IsTerminal(state) ? EventRecord::Kind::kFinished : kind;
    return log_.Append(entry);
  }
  std::vector<TaskId> Seen() const {
    std::vector<TaskId> ids;
    for (const auto& [tag, event] : sink_.events) ids.push_back(event.task);
    return ids;
  }

  TaskTable tasks_{1};
  EventLog log_{1000, 1 << 20};
  std::vector<std::string> pools_ = {"default", "gpu"};
  RecordingSink sink_;
  std::unique_ptr<Watch> watch_;
};

TEST_F(WatchTest, BeginsWithTheNextEventAndResumesAfterAGivenOne) {
  const TaskId a = AddTask();
  const TaskId b = AddTask();
  Log(a);
  Open(OfEverybody()).Pump();
  EXPECT_THAT(Seen(), IsEmpty());
  Log(b);
  watch_->Pump();
  EXPECT_THAT(Seen(), ElementsAre(b));

  WatchOptions resume = OfEverybody();
  resume.after_sequence = 1;
  sink_.events.clear();
  Open(resume).Pump();
  EXPECT_THAT(Seen(), ElementsAre(b));
  EXPECT_EQ(sink_.events[0].second.sequence, 2u);
}

TEST_F(WatchTest, ShowsOnlyWhatTheCallerMaySee) {
  const TaskId mine = AddTask(5);
  const TaskId others = AddTask(6);
  WatchOptions options;
  options.caller = {.uid = 5, .privileged = false};
  Open(options);
  Log(mine);
  Log(others);
  Log(others, TaskState::kSucceeded);
  watch_->Pump();
  EXPECT_THAT(Seen(), ElementsAre(mine));
  EXPECT_THAT(sink_.ends, IsEmpty());
}

TEST_F(WatchTest, FiltersByIdPoolStateAndLabel) {
  const TaskId a = AddTask(0, {{"run", "1"}});
  const TaskId b = AddTask(0, {{"run", "2"}});
  const auto seen_with = [&](const TaskFilter& filter) {
    WatchOptions options = OfEverybody();
    options.task_filter = filter;
    Open(options);
    Log(a, TaskState::kRunning, EventRecord::Kind::kState, 0);
    Log(b, TaskState::kDispatched, EventRecord::Kind::kState, 1);
    sink_.events.clear();
    watch_->SetWritable();
    watch_->Pump();
    return Seen();
  };
  TaskFilter filter;
  EXPECT_THAT(seen_with(filter), ElementsAre(a, b));
  filter.ids = {b};
  EXPECT_THAT(seen_with(filter), ElementsAre(b));
  filter = {};
  filter.pool = "gpu";
  EXPECT_THAT(seen_with(filter), ElementsAre(b));
  filter = {};
  filter.states = {TaskState::kRunning};
  EXPECT_THAT(seen_with(filter), ElementsAre(a));
  filter = {};
  filter.labels = {{"run", "2"}};
  EXPECT_THAT(seen_with(filter), ElementsAre(b));
  filter.labels = {{"run", "2"}, {"walk", "1"}};
  EXPECT_THAT(seen_with(filter), IsEmpty());
}

TEST_F(WatchTest, OutputAndProgressComeOnlyWhenAskedFor) {
  const TaskId a = AddTask();
  Open(OfEverybody());
  Log(a, TaskState::kRunning, EventRecord::Kind::kOutput);
  Log(a, TaskState::kRunning, EventRecord::Kind::kProgress);
  watch_->Pump();
  EXPECT_THAT(Seen(), IsEmpty());
  WatchOptions options = OfEverybody();
  options.output = options.progress = true;
  Open(options);
  Log(a, TaskState::kRunning, EventRecord::Kind::kOutput);
  Log(a, TaskState::kRunning, EventRecord::Kind::kProgress);
  watch_->Pump();
  EXPECT_THAT(Seen(), ElementsAre(a, a));
}

TEST_F(WatchTest, ASnapshotComesFirstAndInPieces) {
  for (int i = 0; i < 100; ++i) AddTask();
  sink_.event_bytes = 64 << 10;  // four fit into a flush
  WatchOptions options = OfEverybody();
  options.snapshot = true;
  Log(1);
  Open(options);
  Log(2);
  size_t rounds = 0;
  while (sink_.events.size() < 101 && ++rounds < 1000) {
    watch_->Pump();
    watch_->SetWritable();
  }
  ASSERT_THAT(sink_.events, SizeIs(101));
  for (TaskId id = 1; id <= 100; ++id) {
    EXPECT_EQ(sink_.events[id - 1].second.task, id);
    EXPECT_EQ(sink_.events[id - 1].second.sequence, 1u) << "the number of now";
  }
  EXPECT_EQ(sink_.events[100].second.sequence, 2u);
}

TEST_F(WatchTest, ASlowWatcherIsClosedAndToldWhereToGoOn) {
  const TaskId a = AddTask();
  Open(OfEverybody());
  Log(a);
  watch_->Pump();  // takes the flush, never becomes writable in time
  for (int i = 0; i < 2000; ++i) Log(a);
  watch_->Pump();
  EXPECT_FALSE(sink_.closed.has_value());
  watch_->SetWritable();
  watch_->Pump();
  ASSERT_TRUE(sink_.closed.has_value());
  EXPECT_EQ(sink_.closed->code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(ReasonOf(*sink_.closed), reason::kWatchTooSlow);
  EXPECT_THAT(std::string(sink_.closed->message()), HasSubstr("Watch after 1001"));
  EXPECT_TRUE(log_.CheckResume(1001).ok());
  sink_.closed.reset();
  watch_->Close(absl::UnavailableError("again"));
  EXPECT_FALSE(sink_.closed.has_value()) << "closed once";
}

TEST_F(WatchTest, AnEndShowsTheResultAsLongAsTheTaskIsKnown) {
  const TaskId a = AddTask();
  tasks_.at(tasks_.Find(a)).EnsureOutcome().value = Bytes("result");
  Open(OfEverybody());
  Log(a, TaskState::kSucceeded);
  watch_->Pump();
  watch_->SetWritable();
  tasks_.Remove(tasks_.Find(a));
  Log(a, TaskState::kSucceeded);
  watch_->Pump();
  ASSERT_THAT(sink_.ends, SizeIs(2));
  EXPECT_EQ(sink_.ends[0].value, "result");
  EXPECT_EQ(sink_.ends[1].value, "");
}

}  // namespace
}  // namespace prefork::engine
