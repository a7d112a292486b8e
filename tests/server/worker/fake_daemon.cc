#include "tests/server/worker/fake_daemon.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/os/eventfd.h"
#include "common/os/pipe.h"
#include "common/os/process_stats.h"
#include "common/os/spawn.h"
#include "common/os/wait_status.h"

namespace prefork::worker_testing {
namespace {

int MillisecondsUntil(absl::Time deadline) {
  return static_cast<int>(
      std::max<int64_t>(0, absl::ToInt64Milliseconds(deadline - absl::Now()) + 1));
}

std::string_view Text(const shm::QueueConsumer::Record& record) {
  return {reinterpret_cast<const char*>(record.body.data()), record.body.size()};
}

template <typename Record>
Record TakeHeader(std::string_view& body) {
  Record header = {};
  EXPECT_GE(body.size(), sizeof(header));
  if (body.size() < sizeof(header)) return header;
  std::memcpy(&header, body.data(), sizeof(header));
  body.remove_prefix(sizeof(header));
  return header;
}

std::string_view TakeBytes(std::string_view& body, uint64_t size) {
  EXPECT_LE(size, body.size());
  const std::string_view part = body.substr(0, size);
  body.remove_prefix(part.size());
  return part;
}

}  // namespace

bool FakeWorker::Submit(const std::vector<TaskSpec>& tasks) {
  bool all = true;
  for (const TaskSpec& task : tasks) {
    const bool inlined = task.segment_id == 0;
    const shm::TaskRecord record = {task.id,
                                    task.attempt,
                                    task.flags,
                                    task.segment_id,
                                    task.segment_offset,
                                    inlined ? task.payload.size() : task.segment_bytes,
                                    static_cast<uint32_t>(task.function.size()),
                                    static_cast<uint32_t>(task.content_type.size())};
    std::string body(reinterpret_cast<const char*>(&record), sizeof(record));
    absl::StrAppend(&body, task.function, task.content_type);
    if (inlined) body += task.payload;
    const std::span<std::byte> room = lane_->down().Reserve(shm::RecordKind::kTask, body.size());
    if (room.empty()) {
      all = false;
      break;
    }
    std::memcpy(room.data(), body.data(), body.size());
    positions_.push_back(lane_->down().Commit());
  }
  lane_->down().PublishAndWake();
  return all;
}

void FakeWorker::Cancel(uint64_t task_id) { lane_->status().cancelled_task.store(task_id); }

absl::StatusOr<uint64_t> FakeWorker::Lend(std::string_view content) {
  absl::StatusOr<shm::SegmentRef> segment = segment_pool_->Lease(content.size(), getuid());
  if (!segment.ok()) return segment.status();
  std::memcpy((*segment)->bytes().data(), content.data(), content.size());
  const uint64_t id = (*segment)->id();
  const absl::Status sent =
      control_.Send(zygote::SegmentGrant{id, (*segment)->capacity_bytes()}, {(*segment)->fd()});
  if (!sent.ok()) return sent;
  lent_[id] = *std::move(segment);
  return id;
}

bool FakeWorker::PumpUntil(const std::function<bool()>& done, absl::Duration patience) {
  const absl::Time deadline = absl::Now() + patience;
  for (;;) {
    Pump();
    if (done()) return true;
    if (absl::Now() >= deadline) return false;
    if (!lane_->up().PrepareSleep()) continue;
    pollfd polled[5] = {{lane_->up_eventfd(), POLLIN, 0},
                        {streams_[0].get(), POLLIN, 0},
                        {streams_[1].get(), POLLIN, 0},
                        {control_closed_ ? -1 : control_.fd(), POLLIN, 0},
                        {pidfd_.fd(), POLLIN, 0}};
    if (poll(polled, 5, MillisecondsUntil(deadline)) < 0) return false;
    lane_->up().CancelSleep();
    os::ClearEventfd(lane_->up_eventfd());
    if (polled[4].revents != 0) {  // it has ended: nothing will change any more
      Pump();
      return done();
    }
  }
}

void FakeWorker::Pump() {
  ReadControl();
  for (const int stream : {1, 2}) ReadOutput(stream);
  ReadRecords();
}

// The engine's half of output attribution; see server/worker/output_capture.cc.
void FakeWorker::ReadOutput(int stream) {
  os::Fd& pipe = streams_[stream - 1];
  shm::LaneStatus& shared = lane_->status();
  for (;;) {
    int waiting = 0;
    if (!pipe.valid() || ioctl(pipe.get(), FIONREAD, &waiting) != 0 || waiting == 0) {
      pollfd polled = {pipe.get(), POLLIN, 0};
      if (pipe.valid() && poll(&polled, 1, 0) == 1 && (polled.revents & POLLIN) == 0) pipe.Reset();
      return;
    }
    char bytes[4096];
    shared.output_read_begin.fetch_add(1, std::memory_order_seq_cst);
    const uint64_t task_id = shared.running_task.load(std::memory_order_seq_cst);
    const ssize_t count = read(pipe.get(), bytes, sizeof(bytes));
    shared.output_read_end.fetch_add(1, std::memory_order_release);
    if (count <= 0) return;
    output_[{stream, task_id}].append(bytes, static_cast<size_t>(count));
  }
}

void FakeWorker::ReadControl() {
  while (!control_closed_) {
    absl::StatusOr<std::optional<zygote::ControlSocket::Received>> received =
        control_.Receive(/*wait=*/false);
    if (!received.ok()) {
      if (!zygote::IsClosed(received.status())) status_.Update(received.status());
      control_closed_ = true;
      return;
    }
    if (!received->has_value()) return;
    if (std::holds_alternative<zygote::WorkerReady>((*received)->message)) {
      ready_ = true;
    } else if (auto* request = std::get_if<zygote::SegmentRequest>(&(*received)->message)) {
      ++segment_requests_;
      if (!room_.ok()) {
        status_.Update(control_.Send(
            zygote::SegmentDenied{request->size_bytes, std::string(room_.message())}));
        continue;
      }
      absl::StatusOr<shm::SegmentRef> segment = segment_pool_->Lease(request->size_bytes, getuid());
      if (!segment.ok()) {
        status_.Update(segment.status());
        return;
      }
      status_.Update(
          control_.Send(zygote::ValueSegment{(*segment)->id(), (*segment)->capacity_bytes()},
                        {(*segment)->fd()}));
      const uint64_t id = (*segment)->id();
      lent_[id] = *std::move(segment);
    } else {
      status_.Update(absl::InternalError("an unexpected message on the control socket"));
    }
  }
}

void FakeWorker::ReadRecords() {
  for (;;) {
    absl::StatusOr<std::optional<shm::QueueConsumer::Record>> record =
        lane_->up().Next(/*claim=*/false);
    if (!record.ok()) {
      status_.Update(record.status());
      return;
    }
    if (!record->has_value()) return;
    TakeRecord(**record);
    lane_->up().Release();
    if (lane_->up().TakeProducerWaiting()) os::SignalEventfd(lane_->down_eventfd());
  }
}

std::string FakeWorker::ValueOf(uint64_t segment_id, uint64_t bytes,
                                std::string_view inline_bytes) {
  if (segment_id == 0) return std::string(inline_bytes);
  const auto place = lent_.find(segment_id);
  if (place == lent_.end()) {
    ADD_FAILURE() << "segment " << segment_id << " was never lent";
    return {};
  }
  return {reinterpret_cast<const char*>(place->second->bytes().data()), bytes};
}

void FakeWorker::TakeRecord(const shm::QueueConsumer::Record& record) {
  std::string_view body = Text(record);
  switch (record.kind) {
    case shm::RecordKind::kStarted:
      started_.push_back(TakeHeader<shm::StartedRecord>(body).task_id);
      return;
    case shm::RecordKind::kProgress: {
      const auto header = TakeHeader<shm::ProgressRecord>(body);
      progress_.push_back({header.task_id, header.done, header.total,
                           std::string(TakeBytes(body, header.text_bytes))});
      return;
    }
    case shm::RecordKind::kPartial: {
      const auto header = TakeHeader<shm::PartialRecord>(body);
      TakeBytes(body, header.content_type_bytes);
      partials_[header.task_id].push_back(ValueOf(header.segment_id, header.value_bytes, body));
      return;
    }
    case shm::RecordKind::kFinished: {
      FinishedTask task;
      task.record = TakeHeader<shm::FinishedRecord>(body);
      task.error = TakeBytes(body, task.record.error_bytes);
      task.content_type = TakeBytes(body, task.record.content_type_bytes);
      task.value = ValueOf(task.record.segment_id, task.record.value_bytes, body);
      for (const int stream : {1, 2}) {
        ReadOutput(stream);
        output_at_end_[{stream, task.record.task_id}] = output(stream, task.record.task_id);
      }
      EXPECT_TRUE(finished_.emplace(task.record.task_id, std::move(task)).second)
          << "a task that ended twice";
      return;
    }
    default:
      ADD_FAILURE() << "a record of kind " << static_cast<int>(record.kind);
  }
}

std::string FakeWorker::output(int stream, uint64_t task_id) const {
  const auto place = output_.find({stream, task_id});
  return place == output_.end() ? std::string() : place->second;
}

std::string FakeWorker::output_at_end(int stream, uint64_t task_id) const {
  const auto place = output_at_end_.find({stream, task_id});
  return place == output_at_end_.end() ? std::string() : place->second;
}

FinishedTask FakeWorker::WaitFinished(uint64_t task_id) {
  const bool came = PumpUntil([&] { return finished_.contains(task_id); });
  EXPECT_TRUE(came) << "task " << task_id << " did not end; worker: " << status_;
  return came ? finished_.at(task_id) : FinishedTask{};
}

FinishedTask FakeWorker::Run(const TaskSpec& task) {
  EXPECT_TRUE(Submit({task}));
  return WaitFinished(task.id);
}

absl::StatusOr<std::unique_ptr<FakeDaemon>> FakeDaemon::Start(Options options) {
  absl::StatusOr<std::pair<zygote::ControlSocket, zygote::ControlSocket>> sockets =
      zygote::ControlSocket::CreatePair();
  if (!sockets.ok()) return sockets.status();
  constexpr int kChildFd = 3;
  os::SpawnOptions spawn;
  spawn.argv = {options.program};
  spawn.argv.insert(spawn.argv.end(), options.arguments.begin(), options.arguments.end());
  spawn.env = os::CurrentEnvironment();
  spawn.env.insert(spawn.env.end(), options.env.begin(), options.env.end());
  spawn.env.push_back(absl::StrCat(zygote::kSocketVariable, "=", kChildFd));
  spawn.fds = {
      {0, STDIN_FILENO}, {1, STDOUT_FILENO}, {2, STDERR_FILENO}, {kChildFd, sockets->second.fd()}};
  spawn.group = os::SpawnOptions::Group::kNewSession;
  absl::StatusOr<os::Pidfd> process = os::Spawn(spawn);
  if (!process.ok()) return process.status();
  auto daemon = std::make_unique<FakeDaemon>();
  daemon->options_ = std::move(options);
  daemon->socket_ = std::move(sockets->first);
  daemon->zygote_ = *std::move(process);
  return daemon;
}

FakeDaemon::~FakeDaemon() {
  socket_.Close();
  if (reaped_ || !zygote_.valid()) return;
  if (!WaitZygoteEnd().has_value()) {
    ADD_FAILURE() << "the zygote outlived its daemon";
    (void)zygote_.SendSignal(SIGKILL);
    (void)WaitZygoteEnd();
  }
}

absl::StatusOr<zygote::ControlSocket::Received> FakeDaemon::NextMessage(absl::Duration patience) {
  pollfd polled = {socket_.fd(), POLLIN, 0};
  if (poll(&polled, 1, MillisecondsUntil(absl::Now() + patience)) != 1) {
    return absl::DeadlineExceededError("the zygote says nothing");
  }
  absl::StatusOr<std::optional<zygote::ControlSocket::Received>> received =
      socket_.Receive(/*wait=*/false);
  if (!received.ok()) return received.status();
  if (!received->has_value()) return absl::InternalError("readable, but nothing there");
  return **std::move(received);
}

absl::StatusOr<std::unique_ptr<FakeWorker>> FakeDaemon::Fork(uint32_t index, bool dedicated,
                                                             bool wait_ready) {
  auto worker = std::make_unique<FakeWorker>();
  worker->name_ = {index, next_generation_++};
  worker->segment_pool_ = segment_pool_;
  shm::LaneOptions lane_options;
  lane_options.worker_index = index;
  lane_options.generation = worker->name_.generation;
  lane_options.down_bytes = options_.down_bytes;
  lane_options.up_bytes = options_.up_bytes;
  absl::StatusOr<shm::LaneOwner> lane = shm::LaneOwner::Create(lane_options);
  if (!lane.ok()) return lane.status();
  worker->lane_.emplace(*std::move(lane));
  absl::StatusOr<std::pair<zygote::ControlSocket, zygote::ControlSocket>> sockets =
      zygote::ControlSocket::CreatePair();
  absl::StatusOr<os::Pipe> out = os::CreatePipe();
  absl::StatusOr<os::Pipe> err = os::CreatePipe();
  if (!sockets.ok() || !out.ok() || !err.ok()) return absl::InternalError("no descriptors");
  worker->control_ = std::move(sockets->first);
  worker->streams_[0] = std::move(out->read_end);
  worker->streams_[1] = std::move(err->read_end);

  zygote::Fork message = {};
  message.body.worker = worker->name_;
  message.body.dedicated = dedicated ? 1 : 0;
  const absl::Status sent = socket_.Send(
      message, {worker->lane_->memfd(), worker->lane_->down_eventfd(), worker->lane_->up_eventfd(),
                sockets->second.fd(), out->write_end.get(), err->write_end.get()});
  if (!sent.ok()) return sent;
  sockets->second.Close();
  out->write_end.Reset();
  err->write_end.Reset();

  absl::StatusOr<zygote::ControlSocket::Received> answer = NextMessage();
  if (!answer.ok()) return answer.status();
  if (auto* failed = std::get_if<zygote::ForkFailed>(&answer->message)) {
    return absl::UnavailableError(failed->reason);
  }
  const auto* forked = std::get_if<zygote::Forked>(&answer->message);
  if (forked == nullptr) return absl::InternalError("another answer than FORKED");
  EXPECT_EQ(forked->body.worker.index, index);
  EXPECT_EQ(forked->body.worker.generation, worker->name_.generation);
  absl::StatusOr<os::Pidfd> pidfd = os::Pidfd::Adopt(std::move(answer->fds[0]));
  if (!pidfd.ok()) return pidfd.status();
  worker->pidfd_ = *std::move(pidfd);
  EXPECT_EQ(static_cast<uint32_t>(worker->pid()), forked->body.pid);
  if (wait_ready && !worker->PumpUntil([&] { return worker->ready(); })) {
    return absl::DeadlineExceededError("the worker did not get ready");
  }
  return worker;
}

std::optional<int> FakeDaemon::WaitZygoteEnd(absl::Duration patience) {
  if (!WaitExit(zygote_, patience)) return std::nullopt;
  const absl::StatusOr<std::optional<os::Pidfd::Exit>> exit = zygote_.Reap(/*wait=*/true);
  if (!exit.ok() || !exit->has_value()) return std::nullopt;
  reaped_ = true;
  return (*exit)->wait_status;
}

bool WaitExit(const os::Pidfd& process, absl::Duration patience) {
  pollfd polled = {process.fd(), POLLIN, 0};
  return poll(&polled, 1, MillisecondsUntil(absl::Now() + patience)) == 1;
}

bool WaitGone(pid_t pid, absl::Duration patience) {
  const absl::StatusOr<os::Pidfd> process = os::Pidfd::Open(pid);
  return !process.ok() || WaitExit(*process, patience);
}

}  // namespace prefork::worker_testing
