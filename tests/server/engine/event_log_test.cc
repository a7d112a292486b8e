#include "server/engine/event_log.h"

#include <memory>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/engine/errors.h"

namespace prefork::engine {
namespace {

using ::testing::HasSubstr;

EventLog::Entry StateOf(TaskId task) {
  EventLog::Entry entry;
  entry.time_ns = 1'000 + static_cast<int64_t>(task);
  entry.task = task;
  entry.state = scheduler::TaskState::kRunning;
  return entry;
}

uint64_t AppendOutput(EventLog& log, TaskId task, const std::string& data) {
  EventRecord event;
  event.kind = EventRecord::Kind::kOutput;
  event.task = task;
  event.data = std::make_shared<const std::string>(data);
  EventLog::Entry entry = StateOf(task);
  entry.kind = event.kind;
  return log.Append(entry, &event, data.size());
}

TEST(EventLogTest, NumbersEventsFromOneWithoutGaps) {
  EventLog log(100, 1 << 20);
  EXPECT_EQ(log.Append(StateOf(7)), 1u);
  EXPECT_EQ(AppendOutput(log, 7, "abc"), 2u);
  EXPECT_EQ(log.Append(StateOf(8)), 3u);
  EXPECT_EQ(log.Read(1).task, 7u);
  EXPECT_EQ(log.Read(1).state, scheduler::TaskState::kRunning);
  EXPECT_EQ(log.Read(2).sequence, 2u);
  EXPECT_EQ(*log.Read(2).data, "abc");
  EXPECT_EQ(log.Read(3).task, 8u);
  EXPECT_EQ(log.Read(3).data, nullptr) << "nothing of another event sticks";
}

TEST(EventLogTest, TheOldestGoFirstOverTheCount) {
  EventLog log(3, 1 << 20);
  for (TaskId task = 1; task <= 10; ++task) log.Append(StateOf(task));
  EXPECT_EQ(log.first_sequence(), 8u);
  EXPECT_EQ(log.next_sequence(), 11u);
  EXPECT_EQ(log.Read(8).task, 8u);
}

TEST(EventLogTest, TheOldestGoFirstOverTheBytesAndTheLatestStays) {
  EventLog log(1000, 4096);
  for (TaskId task = 1; task <= 20; ++task) AppendOutput(log, task, std::string(1000, 'x'));
  EXPECT_GT(log.first_sequence(), 10u);
  EXPECT_EQ(log.Read(20).data->size(), 1000u);
  AppendOutput(log, 21, std::string(100'000, 'x'));
  EXPECT_EQ(log.first_sequence(), 21u);
  EXPECT_EQ(log.Read(21).data->size(), 100'000u);
}

TEST(EventLogTest, ResumingSaysWhatIsLeftWhenTooMuchIsGone) {
  EventLog log(3, 1 << 20);
  for (TaskId task = 1; task <= 10; ++task) log.Append(StateOf(task));
  EXPECT_TRUE(log.CheckResume(7).ok()) << "8 is the next and kept";
  EXPECT_TRUE(log.CheckResume(10).ok());
  const absl::Status gone = log.CheckResume(6);
  EXPECT_EQ(gone.code(), absl::StatusCode::kOutOfRange);
  EXPECT_EQ(ReasonOf(gone), reason::kEventsNotKept);
  EXPECT_THAT(std::string(gone.message()), HasSubstr("the oldest one kept is 8"));
  EXPECT_EQ(log.CheckResume(11).code(), absl::StatusCode::kOutOfRange);
}

}  // namespace
}  // namespace prefork::engine
