#include "tests/bench/lane_bench.h"

#include <fcntl.h>
#include <linux/futex.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <functional>
#include <new>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/os/clock.h"
#include "common/os/errno_status.h"
#include "common/os/eventfd.h"
#include "common/os/pidfd.h"
#include "common/os/unix_socket.h"
#include "common/os/wait_status.h"
#include "common/shm/lane.h"
#include "common/shm/lane_sleeper.h"

namespace prefork::bench {
namespace {

constexpr int64_t kNever = -1;
constexpr size_t kNameBytes = 4;  // "noop"

int64_t NowNs() { return os::Clock::System()->MonotonicNs(); }

// Runs `body` in a forked child; kills and reaps it at the end.
class Child {
 public:
  static absl::StatusOr<Child> Start(const std::function<void()>& body) {
    const pid_t pid = fork();
    if (pid < 0) return os::ErrnoStatus(errno, "fork");
    if (pid == 0) {
      body();
      _exit(0);
    }
    absl::StatusOr<os::Pidfd> handle = os::Pidfd::Open(pid);
    if (!handle.ok()) {
      kill(pid, SIGKILL);
      waitpid(pid, nullptr, 0);
      return handle.status();
    }
    return Child(*std::move(handle));
  }
  Child(Child&&) = default;
  Child& operator=(Child&&) = delete;
  ~Child() {
    if (!handle_.valid()) return;
    (void)handle_.SendSignal(SIGKILL);
    (void)handle_.Reap(true);
  }

 private:
  explicit Child(os::Pidfd handle) : handle_(std::move(handle)) {}
  os::Pidfd handle_;
};

// The worker's side: answers every task at once, until the engine closes the control socket.
void AnswerTasks(shm::LaneGuest lane, int control_fd, int64_t spin_ns) {
  absl::StatusOr<shm::LaneSleeper> sleeper = shm::LaneSleeper::Create(&lane, control_fd);
  if (!sleeper.ok()) return;
  for (;;) {
    auto task = lane.down().Next(true);
    if (!task.ok()) return;
    if (!task->has_value()) {
      lane.up().PublishAndWake();
      if (sleeper->WaitForWork(spin_ns, kNever).control) return;
      continue;
    }
    shm::TaskRecord record;
    memcpy(&record, (*task)->body.data(), sizeof(record));
    lane.down().Release();
    std::span<std::byte> place;
    while ((place = lane.up().Reserve(shm::RecordKind::kFinished, sizeof(shm::FinishedRecord)))
               .empty()) {
      lane.up().PublishAndWake();
      if (sleeper->WaitForRoom(sizeof(shm::FinishedRecord), kNever).control) return;
    }
    shm::FinishedRecord finished = {};
    finished.task_id = record.task_id;
    finished.outcome = static_cast<uint32_t>(shm::TaskOutcome::kSucceeded);
    memcpy(place.data(), &finished, sizeof(finished));
    lane.up().Commit();
    if (!lane.down().HasRecords()) lane.up().PublishAndWake();
  }
}

// The engine's side of one lane and its worker.
class Engine {
 public:
  static absl::StatusOr<Engine> Create(int64_t spin_ns) {
    absl::StatusOr<shm::LaneOwner> lane = shm::LaneOwner::Create({});
    if (!lane.ok()) return lane.status();
    absl::StatusOr<std::pair<os::Fd, os::Fd>> control = os::CreateSeqpacketPair();
    if (!control.ok()) return control.status();
    absl::StatusOr<shm::LaneGuest> guest =
        shm::LaneGuest::Map(os::Fd(fcntl(lane->memfd(), F_DUPFD_CLOEXEC, 0)),
                            os::Fd(fcntl(lane->down_eventfd(), F_DUPFD_CLOEXEC, 0)),
                            os::Fd(fcntl(lane->up_eventfd(), F_DUPFD_CLOEXEC, 0)));
    if (!guest.ok()) return guest.status();
    os::Fd epoll(epoll_create1(EPOLL_CLOEXEC));
    epoll_event event = {EPOLLIN | EPOLLET, {.u64 = 0}};
    if (epoll_ctl(epoll.get(), EPOLL_CTL_ADD, lane->up_eventfd(), &event) != 0) {
      return os::ErrnoStatus(errno, "epoll_ctl(EPOLL_CTL_ADD) of the up eventfd");
    }
    absl::StatusOr<Child> worker = Child::Start([&] {
      control->first.Reset();
      AnswerTasks(*std::move(guest), control->second.get(), spin_ns);
    });
    if (!worker.ok()) return worker.status();
    return Engine(*std::move(lane), std::move(epoll), std::move(control->first), *std::move(worker),
                  spin_ns);
  }

  // False when the lane has no room now.
  bool Dispatch(uint64_t task_id) {
    const std::span<std::byte> place =
        lane_.down().Reserve(shm::RecordKind::kTask, sizeof(shm::TaskRecord) + kNameBytes);
    if (place.empty()) return false;
    shm::TaskRecord record = {};
    record.task_id = task_id;
    record.attempt = 1;
    record.function_bytes = kNameBytes;
    memcpy(place.data(), &record, sizeof(record));
    memcpy(place.data() + sizeof(record), "noop", kNameBytes);
    lane_.down().Commit();
    return true;
  }
  void Publish() { lane_.down().PublishAndWake(); }

  // Takes all results there are and checks that they come in order.
  absl::StatusOr<uint64_t> Drain() {
    uint64_t count = 0;
    for (;;) {
      auto result = lane_.up().Next(false);
      if (!result.ok()) return result.status();
      if (!result->has_value()) break;
      shm::FinishedRecord finished;
      memcpy(&finished, (*result)->body.data(), sizeof(finished));
      if (finished.task_id != ++last_finished_) {
        return absl::InternalError(
            absl::StrCat("result of task ", finished.task_id, " instead of ", last_finished_));
      }
      lane_.up().Release();
      ++count;
    }
    if (count > 0 && lane_.up().TakeProducerWaiting()) os::SignalEventfd(lane_.down_eventfd());
    return count;
  }

  // Returns when there may be results.
  void Wait() {
    const int64_t end_ns = spin_ns_ > 0 ? NowNs() + spin_ns_ : 0;
    while (spin_ns_ > 0 && NowNs() < end_ns) {
      if (lane_.up().HasRecords()) return;
    }
    if (!lane_.up().PrepareSleep()) return;
    ++sleeps_;
    epoll_event event;
    epoll_wait(epoll_.get(), &event, 1, -1);
    lane_.up().CancelSleep();
  }
  uint64_t sleeps() const { return sleeps_; }

 private:
  Engine(shm::LaneOwner lane, os::Fd epoll, os::Fd control, Child worker, int64_t spin_ns)
      : lane_(std::move(lane)),
        epoll_(std::move(epoll)),
        control_(std::move(control)),
        worker_(std::move(worker)),
        spin_ns_(spin_ns) {}
  shm::LaneOwner lane_;
  os::Fd epoll_;
  os::Fd control_;
  Child worker_;
  int64_t spin_ns_;
  uint64_t last_finished_ = 0;
  uint64_t sleeps_ = 0;
};

LaneBenchResult Summarise(std::vector<int64_t> round_trips_ns, int64_t elapsed_ns) {
  std::sort(round_trips_ns.begin(), round_trips_ns.end());
  const size_t count = round_trips_ns.size();
  return {.tasks_per_second = static_cast<double>(count) * 1e9 / static_cast<double>(elapsed_ns),
          .p50_ns = static_cast<double>(round_trips_ns[count / 2]),
          .p99_ns = static_cast<double>(round_trips_ns[count * 99 / 100])};
}

struct PingPong {
  std::atomic<uint32_t> turn{0};
};

// Waits until it is `mine`'s turn, then gives the turn on.
void TakeTurn(PingPong* game, uint32_t mine) {
  while (game->turn.load() != mine) {
    syscall(SYS_futex, &game->turn, FUTEX_WAIT, 1 - mine, nullptr, nullptr, 0);
  }
  game->turn.store(1 - mine);
  syscall(SYS_futex, &game->turn, FUTEX_WAKE, 1, nullptr, nullptr, 0);
}

}  // namespace

absl::StatusOr<LaneBenchResult> MeasureLaneThroughput(const LaneBenchOptions& options) {
  absl::StatusOr<Engine> engine = Engine::Create(options.spin_ns);
  if (!engine.ok()) return engine.status();
  uint64_t sent = 0, finished = 0;
  const int64_t begin_ns = NowNs();
  while (finished < options.tasks) {
    const uint64_t sent_before = sent;
    while (sent < options.tasks && sent - finished < options.max_in_flight &&
           engine->Dispatch(sent + 1))
      ++sent;
    if (sent != sent_before) engine->Publish();
    const absl::StatusOr<uint64_t> drained = engine->Drain();
    if (!drained.ok()) return drained.status();
    finished += *drained;
    if (*drained == 0 && sent == sent_before) engine->Wait();
  }
  const int64_t elapsed_ns = NowNs() - begin_ns;
  return LaneBenchResult{
      .tasks_per_second = static_cast<double>(finished) * 1e9 / static_cast<double>(elapsed_ns),
      .engine_sleeps = engine->sleeps()};
}

absl::StatusOr<LaneBenchResult> MeasureLaneRoundTrip(const LaneBenchOptions& options) {
  absl::StatusOr<Engine> engine = Engine::Create(options.spin_ns);
  if (!engine.ok()) return engine.status();
  std::vector<int64_t> round_trips_ns;
  round_trips_ns.reserve(options.tasks);
  const int64_t begin_ns = NowNs();
  for (uint64_t task = 1; task <= options.tasks; ++task) {
    const int64_t sent_ns = NowNs();
    engine->Dispatch(task);
    engine->Publish();
    for (;;) {
      engine->Wait();
      const absl::StatusOr<uint64_t> drained = engine->Drain();
      if (!drained.ok()) return drained.status();
      if (*drained > 0) break;
    }
    round_trips_ns.push_back(NowNs() - sent_ns);
  }
  LaneBenchResult result = Summarise(std::move(round_trips_ns), NowNs() - begin_ns);
  result.engine_sleeps = engine->sleeps();
  return result;
}

absl::StatusOr<LaneBenchResult> MeasureFutexPingPong(uint64_t round_trips) {
  void* memory =
      mmap(nullptr, sizeof(PingPong), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return os::ErrnoStatus(errno, "mmap");
  PingPong* const game = new (memory) PingPong;
  absl::StatusOr<Child> other = Child::Start([game] {
    for (;;) TakeTurn(game, 1);
  });
  if (!other.ok()) return other.status();
  std::vector<int64_t> round_trips_ns;
  round_trips_ns.reserve(round_trips);
  TakeTurn(game, 0);
  const int64_t begin_ns = NowNs();
  for (uint64_t i = 0; i < round_trips; ++i) {
    const int64_t sent_ns = NowNs();
    TakeTurn(game, 0);
    round_trips_ns.push_back(NowNs() - sent_ns);
  }
  return Summarise(std::move(round_trips_ns), NowNs() - begin_ns);
}

}  // namespace prefork::bench
