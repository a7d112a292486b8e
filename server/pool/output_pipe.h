#ifndef PREFORK_SERVER_POOL_OUTPUT_PIPE_H_
#define PREFORK_SERVER_POOL_OUTPUT_PIPE_H_

#include <functional>
#include <string_view>

#include "absl/status/status.h"
#include "common/os/event_loop.h"
#include "common/os/fd.h"

namespace prefork::pool {

// The read end of a child's stdout or stderr in the event loop. It never blocks and takes a bounded
// piece at a time, so that a child that floods its output delays nobody else.
class OutputPipe {
 public:
  static constexpr size_t kReadBytes = 64 << 10;

  OutputPipe() = default;
  OutputPipe(const OutputPipe&) = delete;
  OutputPipe& operator=(const OutputPipe&) = delete;
  ~OutputPipe() { Close(); }

  // Takes `read_end` and calls `on_readable` whenever Read has something. `loop` is not owned.
  absl::Status Open(os::EventLoop* loop, os::Fd read_end, std::function<void()> on_readable);
  // Up to kReadBytes, valid until the next Read of this thread; empty: nothing there now, or the
  // end, after which the pipe is closed.
  std::string_view Read();
  // At the end of the child: calls `read_once`, which calls Read and returns its count, for what is
  // waiting now, then closes. Not until the end of file: a process that could not be killed may
  // hold the other end for ever.
  void Drain(const std::function<size_t()>& read_once);
  bool open() const { return fd_.valid(); }
  void Close();

 private:
  size_t Waiting() const;

  os::EventLoop* loop_ = nullptr;
  os::Fd fd_;
};

}  // namespace prefork::pool

#endif  // PREFORK_SERVER_POOL_OUTPUT_PIPE_H_
