#include "tests/server/worker/fault_plan.h"

#include <signal.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstring>
#include <iterator>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "common/os/eventfd.h"
#include "common/shm/lane_layout.h"

namespace prefork::worker_testing {
namespace {

using worker::WorkerPlace;
using worker::WorkerStep;
using worker::ZygoteStep;

// By the values of WorkerStep and ZygoteStep.
constexpr const char* kWorkerSteps[] = {"forked",           "before_ready",   "before_claim",
                                        "claimed",          "result_written", "result_published",
                                        "result_announced", "released"};
constexpr const char* kZygoteSteps[] = {"zygote_before_ready", "zygote_ready", "zygote_before_fork",
                                        "zygote_forked"};
constexpr const char* kLaneActions[] = {"down_head", "down_claim", "up_tail"};
constexpr const char* kResultActions[] = {"up_length",  "up_kind",  "up_generation", "up_task",
                                          "up_outcome", "up_sizes", "up_segment"};
constexpr const char* kProcessActions[] = {"kill", "stop", "exit", "hang", "message"};

template <typename List>
bool Contains(const List& list, std::string_view name) {
  return std::any_of(std::begin(list), std::end(list),
                     [&](const char* each) { return name == each; });
}

constexpr uint32_t kRubbish32 = 0xdeadbeef;
constexpr uint64_t kRubbish64 = 0xdeadbeefdeadbeef;

// The lane's memory as the worker has it mapped, to be spoilt.
struct RawLane {
  explicit RawLane(shm::LaneGuest* lane)
      : base(reinterpret_cast<char*>(&lane->status()) - offsetof(shm::LaneHeader, status)),
        header(reinterpret_cast<shm::LaneHeader*>(base)) {}

  shm::RecordHeader* RecordAt(uint64_t ring_offset, uint64_t ring_bytes, uint64_t position) const {
    return reinterpret_cast<shm::RecordHeader*>(base + ring_offset + position % ring_bytes);
  }
  // The task record that the worker has claimed or is about to claim.
  shm::RecordHeader* CurrentTask() const {
    uint64_t head = header->down.head.load();
    shm::RecordHeader* record = RecordAt(header->down_offset, header->down_bytes, head);
    while (static_cast<shm::RecordKind>(record->kind) == shm::RecordKind::kPadding) {
      head += sizeof(shm::RecordHeader) + record->body_bytes;
      record = RecordAt(header->down_offset, header->down_bytes, head);
    }
    return record;
  }
  // The result that is written and not published.
  shm::RecordHeader* UnpublishedResult() const {
    uint64_t tail = header->up.tail.load();
    shm::RecordHeader* record = RecordAt(header->up_offset, header->up_bytes, tail);
    if (static_cast<shm::RecordKind>(record->kind) == shm::RecordKind::kPadding) {
      tail += sizeof(shm::RecordHeader) + record->body_bytes;
      record = RecordAt(header->up_offset, header->up_bytes, tail);
    }
    return record;
  }

  char* base;
  shm::LaneHeader* header;
};

void SpoilResult(const RawLane& lane, std::string_view action) {
  shm::RecordHeader* record = lane.UnpublishedResult();
  auto* finished = reinterpret_cast<shm::FinishedRecord*>(record + 1);
  if (action == "up_length") record->body_bytes = kRubbish32;
  if (action == "up_kind") record->kind = static_cast<uint16_t>(kRubbish32);
  if (action == "up_generation") record->generation = kRubbish32;
  if (action == "up_task") finished->task_id = kRubbish64;
  if (action == "up_outcome") finished->outcome = kRubbish32;
  if (action == "up_sizes") finished->error_bytes = kRubbish32;
  if (action == "up_segment") {
    finished->segment_id = kRubbish64;
    finished->value_bytes = kRubbish64;
  }
}

// The worker's own next step would write a good index again; so there is none.
[[noreturn]] void SpoilIndex(std::atomic<uint64_t>& index, int engine_eventfd) {
  index.store(kRubbish64);
  os::SignalEventfd(engine_eventfd);
  for (;;) pause();
}

void Spoil(shm::LaneGuest* guest, std::string_view action) {
  const RawLane lane(guest);
  if (action == "up_tail") SpoilIndex(lane.header->up.tail, guest->up_eventfd());
  if (action == "down_head") SpoilIndex(lane.header->down.head, guest->up_eventfd());
  if (action == "down_claim") {
    lane.CurrentTask()->claim.store(kRubbish32);
  } else {
    SpoilResult(lane, action);
  }
}

void Strike(std::string_view action, const WorkerPlace& place) {
  if (action == "kill") {
    raise(SIGKILL);
  } else if (action == "stop") {
    raise(SIGSTOP);
  } else if (action == "exit") {
    _exit(3);
  } else if (action == "hang") {
    signal(SIGTERM, SIG_IGN);
    for (;;) pause();
  } else if (action == "message") {
    static constexpr char kText[] = "this is no message of the protocol";
    (void)send(place.control_fd, kText, sizeof(kText), MSG_NOSIGNAL);
  } else {
    Spoil(place.lane, action);
  }
}

absl::Status Wrong(std::string_view fault, const std::string& what) {
  return absl::InvalidArgumentError(
      absl::StrCat("PREFORK_FAULT: '", std::string(fault), "': ", what));
}

template <typename List>
std::string Join(const List& list) {
  return absl::StrJoin(std::begin(list), std::end(list), " ");
}

}  // namespace

absl::StatusOr<FaultPlan> FaultPlan::Parse(std::string_view text) {
  FaultPlan plan;
  for (const absl::string_view part :
       absl::StrSplit(absl::string_view(text.data(), text.size()), ',', absl::SkipEmpty())) {
    absl::StatusOr<Fault> fault = ParseFault({part.data(), part.size()});
    if (!fault.ok()) return fault.status();
    plan.faults_.push_back(*std::move(fault));
  }
  return plan;
}

absl::StatusOr<FaultPlan::Fault> FaultPlan::ParseFault(std::string_view text) {
  const std::vector<std::string> parts =
      absl::StrSplit(absl::string_view(text.data(), text.size()), ':');
  const std::vector<std::string> what = absl::StrSplit(parts[0], '@');
  if (what.size() != 2) return Wrong(text, "write ACTION@STEP");
  Fault fault;
  fault.action = what[0];
  fault.step = what[1];
  const bool in_lane = Contains(kLaneActions, fault.action);
  const bool in_result = Contains(kResultActions, fault.action);
  if (!in_lane && !in_result && !Contains(kProcessActions, fault.action)) {
    return Wrong(text, absl::StrCat("the actions are ", Join(kProcessActions), " ",
                                    Join(kLaneActions), " ", Join(kResultActions)));
  }
  const bool of_zygote = Contains(kZygoteSteps, fault.step);
  if (!of_zygote && !Contains(kWorkerSteps, fault.step)) {
    return Wrong(text, absl::StrCat("the steps are ", Join(kWorkerSteps), " ", Join(kZygoteSteps)));
  }
  if ((in_lane && (of_zygote || fault.step == "forked")) ||
      (in_result && fault.step != "result_written")) {
    return Wrong(text, "there is nothing to spoil at this step");
  }
  for (size_t i = 1; i < parts.size(); ++i) {
    const std::vector<std::string> pair = absl::StrSplit(parts[i], '=');
    uint64_t number = 0;
    if (pair.size() != 2 || !absl::SimpleAtoi(pair[1], &number) || number == 0) {
      return Wrong(text, "write CONDITION=NUMBER, from 1");
    }
    if (pair[0] == "task") {
      fault.task = number;
    } else if (pair[0] == "every") {
      fault.every = number;
    } else if (pair[0] == "start") {
      fault.start = number;
    } else if (pair[0] == "one_in") {
      fault.one_in = number;
    } else {
      return Wrong(text, "the conditions are task every start one_in");
    }
  }
  return fault;
}

bool FaultPlan::Strikes(Fault& fault, std::string_view step, uint64_t task_id) const {
  if (fault.step != step) return false;
  if (fault.task != 0 && fault.task != task_id) return false;
  if (fault.start != 0 && fault.start != starts_) return false;
  if (fault.every != 0) {
    // A worker passes these but once, so they are counted over the zygote's workers.
    const bool once = step == "forked" || step == "before_ready";
    const uint64_t count = once ? starts_ : ++fault.visits;
    if (count % fault.every != 0) return false;
  }
  if (fault.one_in != 0) {
    uint64_t chance = 0;
    if (getrandom(&chance, sizeof(chance), 0) != sizeof(chance)) return false;
    if (chance % fault.one_in != 0) return false;
  }
  return true;
}

void FaultPlan::Reach(std::string_view step, const WorkerPlace& place) {
  for (Fault& fault : faults_) {
    if (Strikes(fault, step, place.task_id)) Strike(fault.action, place);
  }
}

void FaultPlan::OnWorkerStep(WorkerStep step, const WorkerPlace& place) {
  Reach(kWorkerSteps[static_cast<size_t>(step)], place);
}

void FaultPlan::OnZygoteStep(ZygoteStep step, zygote::ControlSocket& daemon) {
  if (step == ZygoteStep::kBeforeFork) ++starts_;
  Reach(kZygoteSteps[static_cast<size_t>(step)], {nullptr, daemon.fd(), 0});
}

}  // namespace prefork::worker_testing
