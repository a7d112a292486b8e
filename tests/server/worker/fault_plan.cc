#include "tests/server/worker/fault_plan.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "tests/server/worker/lane_damage.h"

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
constexpr int kBrokenTest = 99;  // exit code that no test expects
constexpr const char* kProcessActions[] = {"kill", "stop", "exit", "hang", "message", "no_memory"};

template <typename List>
bool Contains(const List& list, std::string_view name) {
  return std::any_of(std::begin(list), std::end(list),
                     [&](const char* each) { return name == each; });
}

// The one way to have the kernel itself say it, whatever memory there is.
void RefuseToFork() {
  constexpr uint32_t kRefuse = SECCOMP_RET_ERRNO | ENOMEM;
  sock_filter filter[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_clone, 1, 0),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_clone3, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, kRefuse),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  const sock_fprog program = {static_cast<unsigned short>(std::size(filter)), filter};
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
      prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0) {
    return;
  }
  std::perror("prefork-worker-faulty: prctl(PR_SET_SECCOMP)");
  _exit(kBrokenTest);
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
  } else if (action == "no_memory") {
    RefuseToFork();
  } else {
    FindLaneDamage(action)->inflict(place.task_id, *place.lane);
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

absl::StatusOr<FaultPlan> FaultPlan::FromEnvironment() {
  const char* const text = std::getenv(kFaultVariable);
  const char* const file = std::getenv(kFaultFileVariable);
  absl::StatusOr<FaultPlan> plan = Parse(text == nullptr ? "" : text);
  if (plan.ok() && file != nullptr) plan->file_ = file;
  return plan;
}

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
  const LaneDamage* const damage = FindLaneDamage(fault.action);
  if (damage == nullptr && !Contains(kProcessActions, fault.action)) {
    return Wrong(text, absl::StrCat("the actions are ", Join(kProcessActions),
                                    " and the names in lane_damage.cc"));
  }
  const bool of_zygote = Contains(kZygoteSteps, fault.step);
  if (!of_zygote && !Contains(kWorkerSteps, fault.step)) {
    return Wrong(text, absl::StrCat("the steps are ", Join(kWorkerSteps), " ", Join(kZygoteSteps)));
  }
  const bool has_lane = !of_zygote && fault.step != "forked";
  if (damage != nullptr && (!has_lane || (damage->of_result && fault.step != "result_written"))) {
    return Wrong(text, "there is nothing to spoil at this step");
  }
  if (fault.action == "no_memory" && !of_zygote) return Wrong(text, "only a zygote forks");
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
  if (!file_.empty()) ReachOnce(step, place);
}

void FaultPlan::ReachOnce(std::string_view step, const WorkerPlace& place) {
  std::string text;
  if (std::ifstream file(file_); !(file >> text)) return;
  absl::StatusOr<FaultPlan> plan = Parse(text);
  if (!plan.ok()) {
    std::fprintf(stderr, "%s\n", std::string(plan.status().message()).c_str());
    _exit(kBrokenTest);
  }
  const bool named = std::any_of(plan->faults_.begin(), plan->faults_.end(),
                                 [step](const Fault& fault) { return fault.step == step; });
  if (!named || unlink(file_.c_str()) != 0) return;
  plan->starts_ = starts_;
  plan->Reach(step, place);
}

void FaultPlan::OnWorkerStep(WorkerStep step, const WorkerPlace& place) {
  Reach(kWorkerSteps[static_cast<size_t>(step)], place);
}

void FaultPlan::OnZygoteStep(ZygoteStep step, zygote::ControlSocket& daemon) {
  if (step == ZygoteStep::kBeforeFork) ++starts_;
  Reach(kZygoteSteps[static_cast<size_t>(step)], {nullptr, daemon.fd(), 0});
}

}  // namespace prefork::worker_testing
