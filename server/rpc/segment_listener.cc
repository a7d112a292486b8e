#include "server/rpc/segment_listener.h"

#include <sys/epoll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "common/os/check.h"
#include "common/os/clock.h"

namespace prefork::rpc {
namespace {

// After running out of descriptors: the socket stays readable, and nothing would change by trying.
constexpr absl::Duration kAcceptPause = absl::Milliseconds(100);

}  // namespace

absl::StatusOr<std::unique_ptr<SegmentListener>> SegmentListener::Start(Options options) {
  absl::StatusOr<std::unique_ptr<os::EventLoop>> loop = os::EventLoop::Create(os::Clock::System());
  if (!loop.ok()) return loop.status();
  std::unique_ptr<SegmentListener> listener(
      new SegmentListener(std::move(options), *std::move(loop)));
  listener->loop_->Post([raw = listener.get()] { raw->WatchSocket(); });
  listener->thread_ = std::thread([raw = listener.get()] { raw->loop_->Run(); });
  return listener;
}

SegmentListener::SegmentListener(Options options, std::unique_ptr<os::EventLoop> loop)
    : options_(std::move(options)),
      loop_(std::move(loop)),
      allocator_(std::make_unique<SegmentAllocator>(options_.engine)) {}

SegmentListener::~SegmentListener() {
  PREFORK_CHECK(!thread_.joinable());
  for (const auto& [fd, watched] : clients_) options_.leases->Close(watched.client->token());
}

void SegmentListener::Stop() {
  if (!thread_.joinable()) return;
  allocator_.reset();
  loop_->Stop();
  thread_.join();
}

void SegmentListener::WatchSocket() {
  const absl::Status watched =
      loop_->Watch(options_.socket, EPOLLIN, [this](uint32_t) { OnConnections(); });
  if (!watched.ok()) {
    options_.log->Error(
        absl::StrCat("segment socket: ", watched.message(), "; large payloads travel in chunks"));
  }
}

void SegmentListener::OnConnections() {
  while (true) {
    os::Fd connection(accept4(options_.socket, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (connection.valid()) {
      Admit(std::move(connection));
    } else if (errno == EAGAIN) {
      return;
    } else if (errno != EINTR && errno != ECONNABORTED) {
      options_.log->Warning(absl::StrCat("segment socket: accept4: ", strerrordesc_np(errno)));
      return PauseAccepting();
    }
  }
}

void SegmentListener::PauseAccepting() {
  loop_->Unwatch(options_.socket);
  loop_->AddTimer(loop_->clock()->MonotonicNs() + absl::ToInt64Nanoseconds(kAcceptPause),
                  [this] { WatchSocket(); });
}

void SegmentListener::Admit(os::Fd connection) {
  ucred peer = {};
  socklen_t size = sizeof(peer);
  if (getsockopt(connection.get(), SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0) return;
  const std::optional<engine::Caller> caller = options_.policy.Admit(peer.uid);
  if (!caller.has_value() || clients_.size() >= options_.max_clients) {
    options_.log->Warning(absl::StrCat(
        "segment socket: a connection of user ", peer.uid, " (pid ", peer.pid,
        ") is refused: ", caller.has_value() ? "there are too many" : "not in daemon.allow_users"));
    return;
  }
  const absl::StatusOr<segments::Token> token = options_.leases->Open(caller->uid);
  if (!token.ok()) {
    options_.log->Warning(absl::StrCat("segment socket: ", token.status().message()));
    return;
  }
  const int fd = connection.get();
  auto client = std::make_shared<SegmentClient>(
      std::move(connection), *caller, *token,
      SegmentClient::Environment{.engine = options_.engine,
                                 .leases = options_.leases,
                                 .allocator = allocator_.get(),
                                 .changed = [this](const ClientRef& changed) {
                                   loop_->Post([this, changed] { Watch(changed); });
                                 }});
  clients_.emplace(fd, Watched{client});
  {
    absl::MutexLock lock(&mutex_);
    by_token_.emplace(std::string(token->data(), token->size()), client);
  }
  Watch(client);
}

// Neither read from nor written to, a client is not watched at all: its hang-up would wake the loop
// again and again.
void SegmentListener::Watch(const ClientRef& client) {
  const auto found = clients_.find(client->fd());
  if (found == clients_.end() || found->second.client != client) return;  // dropped
  const uint32_t wanted =
      (client->busy() ? 0 : uint32_t{EPOLLIN}) | (client->has_unsent() ? uint32_t{EPOLLOUT} : 0);
  const uint32_t now = std::exchange(found->second.events, wanted);
  if (wanted == now) return;
  absl::Status watched;
  if (wanted == 0) {
    loop_->Unwatch(client->fd());
  } else if (now == 0) {
    watched = loop_->Watch(client->fd(), wanted, [this, client](uint32_t) { OnReady(client); });
  } else {
    watched = loop_->Modify(client->fd(), wanted);
  }
  if (!watched.ok()) Drop(client);
}

void SegmentListener::OnReady(const ClientRef& watched) {
  // The watch holds the other one, and Drop ends the watch.
  const ClientRef client = watched;  // NOLINT(performance-unnecessary-copy-initialization)
  absl::Status status = client->Flush();
  if (status.ok() && !client->busy()) status = client->Read();
  if (status.ok()) return Watch(client);
  if (!absl::IsOutOfRange(status) && !absl::IsAborted(status)) {
    options_.log->Warning(absl::StrCat("segment socket: the connection of a client of user ",
                                       client->uid(), " is closed: ", status.message()));
  }
  Drop(client);
}

void SegmentListener::Drop(const ClientRef& client) {
  loop_->Unwatch(client->fd());
  clients_.erase(client->fd());
  {
    absl::MutexLock lock(&mutex_);
    by_token_.erase(std::string(client->token().data(), client->token().size()));
  }
  options_.leases->Close(client->token());
  // The descriptor is closed when no answer is under way any more; the other end hears of it now.
  shutdown(client->fd(), SHUT_RDWR);
}

uint64_t SegmentListener::Send(std::string_view token, uint32_t uid, const engine::Bytes& value) {
  const shm::SegmentRef& segment = value.segment();
  if (segment == nullptr || value.empty()) return 0;
  ClientRef client;
  {
    absl::MutexLock lock(&mutex_);
    const auto found = by_token_.find(absl::string_view(token.data(), token.size()));
    if (found == by_token_.end() || found->second->uid() != uid) return 0;
    client = found->second;
  }
  const absl::Status sent =
      client->Send(/*request=*/0, segment, value.offset(), value.size(), /*writable=*/false);
  return sent.ok() ? segment->id() : 0;
}

}  // namespace prefork::rpc
