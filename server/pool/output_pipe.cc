#include "server/pool/output_pipe.h"

#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "common/os/pipe.h"

namespace prefork::pool {

absl::Status OutputPipe::Open(os::EventLoop* loop, os::Fd read_end,
                              std::function<void()> on_readable) {
  if (absl::Status status = os::SetNonBlocking(read_end.get(), true); !status.ok()) return status;
  absl::Status status = loop->Watch(read_end.get(), EPOLLIN,
                                    [callback = std::move(on_readable)](uint32_t) { callback(); });
  if (!status.ok()) return status;
  loop_ = loop;
  fd_ = std::move(read_end);
  return absl::OkStatus();
}

std::string_view OutputPipe::Read() {
  // Aligned for the linker's sake: mold 1.10 begins what is protected after relocation where the
  // thread-local data begins, even in a page that is not mapped, and then no program starts.
  alignas(64) static thread_local char buffer[kReadBytes];
  if (!open()) return {};
  ssize_t count;
  do {
    count = read(fd_.get(), buffer, sizeof(buffer));
  } while (count < 0 && errno == EINTR);
  if (count > 0) return {buffer, static_cast<size_t>(count)};
  if (count == 0 || errno != EAGAIN) Close();
  return {};
}

size_t OutputPipe::Waiting() const {
  int bytes = 0;
  if (!open() || ioctl(fd_.get(), FIONREAD, &bytes) != 0) return 0;
  return static_cast<size_t>(bytes);
}

void OutputPipe::Drain(const std::function<size_t()>& read_once) {
  for (size_t left = Waiting(); left > 0;) {
    const size_t count = read_once();
    if (count == 0) break;
    left -= std::min(left, count);
  }
  Close();
}

void OutputPipe::Close() {
  if (!open()) return;
  loop_->Unwatch(fd_.get());
  fd_.Reset();
}

}  // namespace prefork::pool
