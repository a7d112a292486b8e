#include "server/rpc/segment_client.h"

#include <sys/socket.h>

#include <string>
#include <utility>
#include <variant>

#include "absl/strings/str_cat.h"
#include "common/os/memfd.h"
#include "common/os/unix_socket.h"

namespace prefork::rpc {
namespace {

// Between two of them other clients have their turn.
constexpr int kMessagesAtOnce = 16;

}  // namespace

SegmentClient::SegmentClient(os::Fd socket, const engine::Caller& caller,
                             const segments::Token& token, Environment environment)
    : socket_(std::move(socket)),
      caller_(caller),
      token_(token),
      environment_(std::move(environment)) {}

absl::Status SegmentClient::Read() {
  for (int i = 0; i < kMessagesAtOnce && !busy(); ++i) {
    const absl::StatusOr<os::Packet> packet =
        os::ReceivePacket(fd(), segments::kMaxMessageBytes, /*wait=*/false);
    if (!packet.ok()) return packet.status();
    switch (packet->state) {
      case os::Packet::State::kWouldBlock:
        return absl::OkStatus();
      case os::Packet::State::kClosed:
        return absl::OutOfRangeError("the client has closed its end");
      case os::Packet::State::kReceived:
        break;
    }
    const absl::StatusOr<segments::Message> message =
        segments::Decode(packet->bytes, packet->fds.size());
    if (!message.ok()) return message.status();
    if (absl::Status status = Handle(*message); !status.ok()) return status;
  }
  return absl::OkStatus();
}

absl::Status SegmentClient::Handle(const segments::Message& message) {
  const bool hello = std::holds_alternative<segments::Hello>(message);
  if (hello == welcomed_) {
    return absl::InvalidArgumentError(hello ? "a second HELLO" : "a message before HELLO");
  }
  if (hello) {
    welcomed_ = true;
    return os::SendPacket(fd(), segments::Encode(segments::Welcome{token_}), {}, /*wait=*/false);
  }
  if (const auto* allocate = std::get_if<segments::Allocate>(&message)) {
    Allocate(*allocate);
  } else if (const auto* value = std::get_if<segments::OpenValue>(&message)) {
    OpenValue(*value);
  } else if (const auto* release = std::get_if<segments::Release>(&message)) {
    // One that is not leased any more was given to a task.
    environment_.leases->Release(token_, release->segment_id).IgnoreError();
  } else {
    return absl::InvalidArgumentError(
        absl::StrCat("a ", segments::TypeName(static_cast<uint32_t>(segments::TypeOf(message))),
                     " from a client"));
  }
  return absl::OkStatus();
}

void SegmentClient::Allocate(const segments::Allocate& wanted) {
  ++unanswered_;
  const size_t max_bytes = environment_.engine->options().max_payload_bytes;
  if (wanted.size_bytes > max_bytes) {
    return Deny(wanted.request, absl::InvalidArgumentError(absl::StrCat(
                                    wanted.size_bytes, " bytes are more than a payload may have: ",
                                    max_bytes, " (limits.max_payload)")));
  }
  const absl::Status room = environment_.leases->CheckRoom(token_, wanted.size_bytes);
  if (!room.ok()) return Deny(wanted.request, room);
  const shm::SegmentRef warm =
      environment_.engine->segments().LeaseWarm(wanted.size_bytes, caller_.uid);
  if (warm != nullptr) {
    return Grant(wanted.request, warm, 0, warm->capacity_bytes(), /*writable=*/true);
  }
  environment_.allocator->Allocate(
      wanted.size_bytes, caller_.uid,
      [self = shared_from_this(), wanted](const absl::StatusOr<shm::SegmentRef>& segment) {
        if (!segment.ok()) return self->Deny(wanted.request, segment.status());
        self->Grant(wanted.request, *segment, 0, (*segment)->capacity_bytes(), /*writable=*/true);
      });
}

void SegmentClient::OpenValue(const segments::OpenValue& wanted) {
  ++unanswered_;
  environment_.engine->Post([self = shared_from_this(), wanted] {
    const absl::StatusOr<engine::TaskInfo> info =
        self->environment_.engine->Get(self->caller_, wanted.task_id);
    if (!info.ok()) return self->Deny(wanted.request, info.status());
    const shm::SegmentRef& segment = info->value.segment();
    if (segment == nullptr || info->value.empty()) {
      return self->Deny(wanted.request,
                        absl::FailedPreconditionError(absl::StrCat(
                            "task ", wanted.task_id,
                            " has no value in a segment; ask ReadValue for what it has")));
    }
    self->Grant(wanted.request, segment, info->value.offset(), info->value.size(),
                /*writable=*/false);
  });
}

absl::Status SegmentClient::Send(uint64_t request, const shm::SegmentRef& segment, size_t offset,
                                 size_t size_bytes, bool writable) {
  if (absl::Status leased = environment_.leases->Add(token_, segment); !leased.ok()) return leased;
  absl::Status sent = SendOrKeep(
      {.message = segments::Encode(segments::Grant{request, segment->id(), offset, size_bytes}),
       .segment = segment,
       .writable = writable});
  if (!sent.ok()) environment_.leases->Release(token_, segment->id()).IgnoreError();
  return sent;
}

// In order: what comes while something waits has to wait, too.
absl::Status SegmentClient::SendOrKeep(Outgoing outgoing) {
  {
    absl::MutexLock lock(&mutex_);
    if (unsent_.empty()) {
      absl::Status sent = SendNow(outgoing);
      if (!absl::IsUnavailable(sent)) return sent;
    }
    if (unsent_.size() >= kMaxUnsent) {
      return absl::UnavailableError("the client does not read its segment socket");
    }
    unsent_.push_back(std::move(outgoing));
    if (unsent_.size() > 1) return absl::OkStatus();
  }
  environment_.changed(shared_from_this());
  return absl::OkStatus();
}

absl::Status SegmentClient::SendNow(const Outgoing& outgoing) {
  if (outgoing.segment == nullptr) {
    return os::SendPacket(fd(), outgoing.message, {}, /*wait=*/false);
  }
  if (outgoing.writable) {
    return os::SendPacket(fd(), outgoing.message, {outgoing.segment->fd()}, /*wait=*/false);
  }
  const absl::StatusOr<os::Fd> read_only = os::ReopenReadOnly(outgoing.segment->fd());
  if (!read_only.ok()) return read_only.status();
  return os::SendPacket(fd(), outgoing.message, {read_only->get()}, /*wait=*/false);
}

absl::Status SegmentClient::Flush() {
  absl::MutexLock lock(&mutex_);
  while (!unsent_.empty()) {
    absl::Status sent = SendNow(unsent_.front());
    if (absl::IsUnavailable(sent)) return absl::OkStatus();
    // The client counts on what it was promised, so without it there is no going on.
    if (!sent.ok()) return sent;
    unsent_.pop_front();
  }
  return absl::OkStatus();
}

bool SegmentClient::has_unsent() const {
  absl::MutexLock lock(&mutex_);
  return !unsent_.empty();
}

void SegmentClient::Grant(uint64_t request, const shm::SegmentRef& segment, size_t offset,
                          size_t size_bytes, bool writable) {
  if (const absl::Status sent = Send(request, segment, offset, size_bytes, writable); !sent.ok()) {
    return Deny(request, sent);
  }
  Answered();
}

// A client without room for its answers, or without life, has no use for the connection.
void SegmentClient::Deny(uint64_t request, const absl::Status& why) {
  if (!SendOrKeep({.message = segments::Encode(segments::Denied{request, why})}).ok()) {
    shutdown(fd(), SHUT_RDWR);
  }
  Answered();
}

void SegmentClient::Answered() {
  if (unanswered_.fetch_sub(1) == kMaxUnanswered) environment_.changed(shared_from_this());
}

}  // namespace prefork::rpc
