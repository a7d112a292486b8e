// One socket, many threads, none of its own.
//
//   Allocate, OpenValue   send; then, until the answer is there, one of those who wait polls the
//                         socket without the mutex, and the others wait for it to take packets in
//   TakeValue             takes in what is there. A value was sent before the event that names it, so
//                         it has come; or it waits in the daemon for the room that is made by that
//   Release               sends, and waits a little for room if there is none; what a daemon that
//                         does not read leaves unsent goes with a later message
//
// Whoever takes packets in does so under the mutex and sorts them: answers to those who asked,
// values by segment. It may find the answer that the polling thread waits for; the eventfd tells it.
// An answer to somebody who has given up is released.
//
// A forked child has our socket and our mappings, so that what it inherited stays as it was: the leases
// end when every process has closed the socket. It sends and reads nothing on it, and takes no lock,
// which another thread may have held when it was forked. The parent gives nothing back that was
// leased before the fork.
//
// When the daemon ends the connection, every lease is over; what is mapped stays readable as long as
// it is mapped, because a daemon that ends gives no memory back from under it.
#include "client/cpp/segment_channel.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cerrno>
#include <cstring>
#include <utility>
#include <variant>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "absl/time/clock.h"
#include "common/os/errno_status.h"
#include "common/os/eventfd.h"
#include "common/os/unix_socket.h"

namespace prefork::client::internal {
namespace {

// The daemon makes room in microseconds, unless it is stopped.
constexpr absl::Duration kRoomPatience = absl::Seconds(1);

absl::Status Ended() {
  return absl::UnavailableError("the daemon has closed the connection for segments");
}

// Whether something can be read by then.
bool PollReadable(int socket, int wake, absl::Time deadline) {
  pollfd watched[] = {{socket, POLLIN, 0}, {wake, POLLIN, 0}};
  const absl::Duration left = std::max(deadline - absl::Now(), absl::ZeroDuration());
  const timespec timeout = absl::ToTimespec(std::min(left, absl::Hours(1)));
  return ppoll(watched, 2, &timeout, nullptr) > 0;
}

bool PollWritable(int socket, absl::Duration patience) {
  pollfd watched = {socket, POLLOUT, 0};
  const timespec timeout = absl::ToTimespec(patience);
  return ppoll(&watched, 1, &timeout, nullptr) > 0;
}

absl::StatusOr<os::Fd> Dial(const std::string& path) {
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof(address.sun_path)) {
    return absl::InvalidArgumentError(absl::StrCat(path, " is too long for a socket"));
  }
  std::memcpy(address.sun_path, path.data(), path.size());
  os::Fd socket(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!socket.valid()) return os::ErrnoStatus(errno, "socket");
  if (connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) {
    return os::ErrnoStatus(errno, absl::StrCat("connect ", path));
  }
  return socket;
}

}  // namespace

absl::StatusOr<std::shared_ptr<SegmentChannel>> SegmentChannel::Connect(const std::string& address,
                                                                        absl::Time deadline) {
  absl::string_view path = address;
  absl::ConsumePrefix(&path, "unix:");
  absl::StatusOr<os::Fd> socket = Dial(absl::StrCat(path, segments::kSocketSuffix));
  if (!socket.ok()) return socket.status();
  absl::StatusOr<os::Fd> wake = os::CreateEventfd();
  if (!wake.ok()) return wake.status();
  std::shared_ptr<SegmentChannel> channel(
      new SegmentChannel(address, *std::move(socket), *std::move(wake)));
  if (absl::Status hello = channel->SayHello(deadline); !hello.ok()) return hello;
  return channel;
}

absl::Status SegmentChannel::SayHello(absl::Time deadline) {
  if (absl::Status sent =
          os::SendPacket(socket_.get(), segments::Encode(segments::Hello{}), {}, /*wait=*/false);
      !sent.ok()) {
    return sent;
  }
  if (!PollReadable(socket_.get(), wake_.get(), deadline)) {
    return absl::DeadlineExceededError("the daemon's segment socket did not answer in time");
  }
  const absl::StatusOr<os::Packet> packet =
      os::ReceivePacket(socket_.get(), segments::kMaxMessageBytes, /*wait=*/false);
  if (!packet.ok()) return packet.status();
  if (packet->state != os::Packet::State::kReceived) return Ended();
  const absl::StatusOr<segments::Message> message =
      segments::Decode(packet->bytes, packet->fds.size());
  if (!message.ok()) return message.status();
  const auto* welcome = std::get_if<segments::Welcome>(&*message);
  if (welcome == nullptr) return absl::InvalidArgumentError("no WELCOME on the segment socket");
  token_ = welcome->token;
  return absl::OkStatus();
}

bool SegmentChannel::alive() {
  if (Inherited()) return false;
  absl::MutexLock lock(&mutex_);
  ReceiveLocked();  // among what has come may be the end
  return alive_;
}

absl::StatusOr<SegmentChannel::Leased> SegmentChannel::Allocate(size_t size_bytes,
                                                                absl::Time deadline) {
  absl::StatusOr<Sent> sent = Ask(segments::Allocate{0, size_bytes}, deadline);
  if (!sent.ok()) return sent.status();
  return MapSent(*std::move(sent), os::Mapping::Access::kReadWrite, size_bytes);
}

absl::StatusOr<SegmentChannel::Leased> SegmentChannel::OpenValue(uint64_t task_id,
                                                                 absl::Time deadline) {
  absl::StatusOr<Sent> sent = Ask(segments::OpenValue{0, task_id}, deadline);
  if (!sent.ok()) return sent.status();
  return MapSent(*std::move(sent), os::Mapping::Access::kRead, 0);
}

absl::StatusOr<SegmentChannel::Leased> SegmentChannel::TakeValue(uint64_t segment_id,
                                                                 absl::Time deadline) {
  Sent sent;
  {
    absl::MutexLock lock(&mutex_);
    if (!values_.contains(segment_id)) ReceiveLocked();
    while (alive_ && !values_.contains(segment_id) && absl::Now() < deadline) {
      WaitForPacketsLocked(deadline);
    }
    const auto found = values_.find(segment_id);
    if (found == values_.end()) {
      return alive_ ? absl::NotFoundError(absl::StrCat("segment ", segment_id, " was not sent"))
                    : Ended();
    }
    sent = std::move(found->second);
    values_.erase(found);
  }
  return MapSent(std::move(sent), os::Mapping::Access::kRead, 0);
}

absl::StatusOr<SegmentChannel::Sent> SegmentChannel::Ask(segments::Message question,
                                                         absl::Time deadline) {
  absl::MutexLock lock(&mutex_);
  const uint64_t request = ++requests_made_;
  std::visit(
      [request](auto& message) {
        if constexpr (requires { message.request; }) message.request = request;
      },
      question);
  if (!alive_) return Ended();
  const absl::Status sent =
      os::SendPacket(socket_.get(), segments::Encode(question), {}, /*wait=*/false);
  if (!sent.ok()) return absl::UnavailableError(sent.message());
  asked_.insert(request);
  while (alive_ && !answers_.contains(request) && absl::Now() < deadline) {
    WaitForPacketsLocked(deadline);
  }
  asked_.erase(request);
  const auto found = answers_.find(request);
  if (found == answers_.end()) {
    return alive_
               ? absl::DeadlineExceededError("the daemon's segment socket did not answer in time")
               : Ended();
  }
  absl::StatusOr<Sent> answer = std::move(found->second);
  answers_.erase(found);
  return answer;
}

void SegmentChannel::WaitForPacketsLocked(absl::Time deadline) {
  if (polling_) {
    taken_in_.WaitWithDeadline(&mutex_, deadline);
    return;
  }
  polling_ = true;
  mutex_.Unlock();
  PollReadable(socket_.get(), wake_.get(), deadline);
  mutex_.Lock();
  polling_ = false;
  os::ClearEventfd(wake_.get());
  ReceiveLocked();
  // One of the others polls next.
  taken_in_.SignalAll();
}

void SegmentChannel::ReceiveLocked() {
  while (alive_) {
    absl::StatusOr<os::Packet> packet =
        os::ReceivePacket(socket_.get(), segments::kMaxMessageBytes, /*wait=*/false);
    if (!packet.ok() || packet->state == os::Packet::State::kClosed) return EndLocked();
    if (packet->state == os::Packet::State::kWouldBlock) return;
    absl::StatusOr<segments::Message> message = segments::Decode(packet->bytes, packet->fds.size());
    if (!message.ok()) return EndLocked();
    TakeInLocked(*std::move(message), std::move(packet->fds));
  }
}

void SegmentChannel::TakeInLocked(segments::Message message, std::vector<os::Fd> fds) {
  uint64_t request = 0;
  absl::StatusOr<Sent> answer = Ended();
  if (const auto* grant = std::get_if<segments::Grant>(&message)) {
    Sent sent{*grant, std::move(fds[0])};
    if (grant->request == 0) {
      values_.insert_or_assign(grant->segment_id, std::move(sent));
      taken_in_.SignalAll();
      return;
    }
    request = grant->request;
    if (!asked_.contains(request)) return ReleaseLocked(grant->segment_id);
    answer = std::move(sent);
  } else if (const auto* denied = std::get_if<segments::Denied>(&message)) {
    request = denied->request;
    answer = denied->why;
    if (!asked_.contains(request)) return;
  } else {
    return EndLocked();
  }
  answers_.insert_or_assign(request, std::move(answer));
  taken_in_.SignalAll();
  if (polling_) os::SignalEventfd(wake_.get());
}

void SegmentChannel::Release(Leased leased) {
  if (leased.forks != os::CountForks()) return;
  maps_.Keep(std::move(leased.map));
  absl::MutexLock lock(&mutex_);
  ReleaseLocked(leased.segment_id);
}

void SegmentChannel::Forget(Leased leased) {
  if (!Inherited()) maps_.Keep(std::move(leased.map));
}

void SegmentChannel::ReleaseLocked(uint64_t segment_id) {
  unsent_releases_.push_back(segment_id);
  while (alive_ && !unsent_releases_.empty()) {
    const segments::Release message{unsent_releases_.back()};
    const absl::Status sent =
        os::SendPacket(socket_.get(), segments::Encode(message), {}, /*wait=*/false);
    if (sent.ok()) {
      unsent_releases_.pop_back();
      continue;
    }
    // Waits for the first one only: a daemon that is stopped shall not hold up every release.
    const bool wait = absl::IsUnavailable(sent) && unsent_releases_.size() == 1;
    if (!wait || !PollWritable(socket_.get(), kRoomPatience)) return;
  }
}

void SegmentChannel::EndLocked() {
  alive_ = false;
  values_.clear();
  shutdown(socket_.get(), SHUT_RDWR);
  taken_in_.SignalAll();
  if (polling_) os::SignalEventfd(wake_.get());
}

absl::StatusOr<SegmentChannel::Leased> SegmentChannel::MapSent(Sent sent,
                                                               os::Mapping::Access access,
                                                               size_t write_bytes) {
  const segments::Grant& grant = sent.grant;
  absl::StatusOr<shm::SegmentMap> map =
      maps_.Map(sent.memfd.get(), grant.offset + grant.size_bytes, access, write_bytes);
  if (!map.ok()) {
    absl::MutexLock lock(&mutex_);
    ReleaseLocked(grant.segment_id);
    return map.status();
  }
  return Leased{grant.segment_id, grant.offset, grant.size_bytes, *std::move(map)};
}

}  // namespace prefork::client::internal
