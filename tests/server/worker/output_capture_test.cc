// Output attribution with real processes: every byte at the right task, and there before its end.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/zygote/command_codec.h"
#include "tests/server/worker/worker_process_fixture.h"

namespace prefork::worker_testing {
namespace {

constexpr uint64_t kTasks = 1000;

class OutputCaptureTest : public WorkerProcessFixture {
 protected:
  // Keeps the lane full of tasks made by `make` until all have ended.
  template <typename Make>
  void RunAll(Make make) {
    uint64_t next = 1;
    const bool all = worker().PumpUntil([&] {
      while (next <= kTasks && worker().Submit({make(next)})) ++next;
      return worker().finished().size() == kTasks;
    });
    ASSERT_TRUE(all) << worker().finished().size() << " of them; " << worker().status();
  }
  void ExpectOwnOutput(uint64_t id, const std::string& expected) {
    EXPECT_EQ(worker().output_at_end(1, id), expected);
    EXPECT_EQ(worker().output_at_end(2, id), expected);
    EXPECT_EQ(worker().output(1, id), expected);
    EXPECT_EQ(worker().output(2, id), expected);
  }
};

TEST_F(OutputCaptureTest, TinyTasksThatPrintKeepTheirOwnOutput) {
  StartNative();
  RunAll([](uint64_t id) { return TaskSpec{.id = id, .function = "print_id"}; });
  for (uint64_t id = 1; id <= kTasks; ++id) ExpectOwnOutput(id, absl::StrCat(id, "\n"));
}

TEST_F(OutputCaptureTest, MeasuredTasksKeepTheirOwnOutput) {
  StartNative();
  RunAll([](uint64_t id) {
    return TaskSpec{.id = id, .function = "print_id", .flags = shm::kTaskMeasure};
  });
  for (uint64_t id = 1; id <= kTasks; ++id) ExpectOwnOutput(id, absl::StrCat(id, "\n"));
}

TEST_F(OutputCaptureTest, SilentNeighboursGetNothing) {
  StartNative();
  RunAll([](uint64_t id) {
    return TaskSpec{.id = id, .function = id % 3 == 0 ? "print_id" : "noop"};
  });
  for (uint64_t id = 1; id <= kTasks; ++id) {
    ExpectOwnOutput(id, id % 3 == 0 ? absl::StrCat(id, "\n") : "");
  }
  EXPECT_EQ(worker().output(1, 0), "");
}

TEST_F(OutputCaptureTest, OutputOfMoreThanAPipefulIsWholeBeforeTheEnd) {
  StartNative();
  worker().Run({.id = 1, .function = "print_bytes", .payload = "1000000"});
  EXPECT_EQ(worker().output_at_end(1, 1).size(), 1'000'000u);
}

TEST_F(OutputCaptureTest, ALineWithoutEndIsFlushedAtTheEnd) {
  StartNative();
  worker().Run({.id = 1, .function = "print", .payload = "no line end"});
  EXPECT_EQ(worker().output_at_end(1, 1), "no line end");
}

TEST_F(OutputCaptureTest, ATrustedFunctionThatWritesAfterAllLosesItsTrust) {
  StartNative();
  // Enough silent runs to be trusted...
  for (uint64_t id = 1; id <= 300; ++id) worker().Run({.id = id, .function = "print"});
  // ... then it writes: nothing is lost, and from the second time on all is credited exactly.
  for (uint64_t id = 301; id <= 400; ++id) {
    worker().Run({.id = id, .function = "print", .payload = "text\n"});
  }
  ASSERT_TRUE(worker().PumpUntil([&] {
    return worker().output(1, 301) + worker().output(1, 302) + worker().output(1, 0) >= "text\n";
  }));
  for (uint64_t id = 303; id <= 400; ++id) EXPECT_EQ(worker().output_at_end(1, id), "text\n");
  size_t total = 0;
  for (uint64_t id = 0; id <= 400; ++id) total += worker().output(1, id).size();
  EXPECT_EQ(total, 100 * std::string("text\n").size());
}

TEST_F(OutputCaptureTest, AMeasuredTaskIsExactEvenWhenItsFunctionIsTrusted) {
  StartNative();
  for (uint64_t id = 1; id <= 300; ++id) worker().Run({.id = id, .function = "print"});
  worker().Run({.id = 301, .function = "print", .payload = "text\n", .flags = shm::kTaskMeasure});
  EXPECT_EQ(worker().output_at_end(1, 301), "text\n");
}

TEST_F(OutputCaptureTest, CommandsKeepTheirOwnOutput) {
  StartCommand();
  std::vector<TaskSpec> tasks;
  for (uint64_t id = 1; id <= 50; ++id) {
    zygote::CommandBlock command;
    command.argv = {"sh", "-c", absl::StrCat("echo ", id, "; echo ", id, " >&2")};
    tasks.push_back({.id = id, .payload = zygote::EncodeCommand(command)});
  }
  ASSERT_TRUE(worker().Submit(tasks));
  ASSERT_TRUE(worker().PumpUntil([&] { return worker().finished().size() == tasks.size(); }));
  for (const TaskSpec& task : tasks) ExpectOwnOutput(task.id, absl::StrCat(task.id, "\n"));
}

}  // namespace
}  // namespace prefork::worker_testing
