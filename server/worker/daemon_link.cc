#include "server/worker/daemon_link.h"

#include <poll.h>
#include <time.h>

#include <cstdio>
#include <string>
#include <type_traits>
#include <variant>

#include "server/worker/leftovers.h"

namespace prefork::worker {
namespace {

// The daemon broke the protocol, or a system call that can't fail did: nothing sensible is left.
[[noreturn]] void EndBroken(const absl::Status& why) {
  std::fprintf(stderr, "prefork-worker: control socket: %s\n", std::string(why.message()).c_str());
  EndWorker(1);
}

}  // namespace

absl::Status DaemonLink::SayReady(zygote::WorkerName name) {
  return control_.Send(zygote::WorkerReady{.body = {name}});
}

void DaemonLink::Serve() {
  while (ServeOne(/*wait=*/false)) {
  }
}

bool DaemonLink::ServeOne(bool wait) {
  absl::StatusOr<std::optional<zygote::ControlSocket::Received>> received = control_.Receive(wait);
  if (!received.ok()) {
    if (zygote::IsClosed(received.status())) EndWorker(0);
    EndBroken(received.status());
  }
  if (!received->has_value()) return false;
  Handle(**std::move(received));
  return true;
}

void DaemonLink::Handle(zygote::ControlSocket::Received received) {
  if (auto* grant = std::get_if<zygote::SegmentGrant>(&received.message)) {
    // A segment that can't be mapped is missed by the task that names it, which then fails.
    const absl::Status status =
        segments_.Add(grant->segment_id, grant->size_bytes, std::move(received.fds[0]),
                      SegmentTable::Use::kPayload);
    if (!status.ok()) {
      std::fprintf(stderr, "prefork-worker: %s\n", std::string(status.message()).c_str());
    }
  } else if (auto* room = std::get_if<zygote::ValueSegment>(&received.message)) {
    const absl::Status status = segments_.Add(
        room->segment_id, room->size_bytes, std::move(received.fds[0]), SegmentTable::Use::kValue);
    answer_ = status.ok() ? absl::StatusOr<uint64_t>(room->segment_id) : status;
  } else if (auto* denied = std::get_if<zygote::SegmentDenied>(&received.message)) {
    answer_ = absl::ResourceExhaustedError(denied->reason);
  } else if (auto* release = std::get_if<zygote::SegmentRelease>(&received.message)) {
    segments_.Remove(release->segment_id);
  } else {
    EndBroken(absl::InvalidArgumentError(
        "unexpected " + zygote::TypeName(static_cast<uint32_t>(zygote::TypeOf(received.message)))));
  }
}

void DaemonLink::WaitReadable(int fd, int64_t timeout_ns) {
  pollfd polled[2] = {{control_.fd(), POLLIN, 0}, {fd, POLLIN, 0}};
  const timespec timeout = {timeout_ns / 1'000'000'000, timeout_ns % 1'000'000'000};
  if (ppoll(polled, fd < 0 ? 1 : 2, timeout_ns < 0 ? nullptr : &timeout, nullptr) > 0 &&
      polled[0].revents != 0) {
    Serve();
  }
}

absl::StatusOr<std::span<const char>> DaemonLink::TaskSegment(uint64_t id, uint64_t offset,
                                                              uint64_t size_bytes) {
  Serve();
  return segments_.Find(id, offset, size_bytes);
}

absl::StatusOr<DaemonLink::Room> DaemonLink::RequestSegment(uint64_t size_bytes) {
  answer_.reset();
  if (absl::Status status = control_.Send(zygote::SegmentRequest{size_bytes}); !status.ok()) {
    return status;
  }
  while (!answer_.has_value()) ServeOne(/*wait=*/true);
  if (!answer_->ok()) return answer_->status();
  const uint64_t id = **answer_;
  absl::StatusOr<std::span<char>> bytes = segments_.Find(id, 0, size_bytes);
  if (!bytes.ok()) return bytes.status();
  return Room{id, *bytes};
}

}  // namespace prefork::worker
